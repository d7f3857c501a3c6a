"""Area 6 of the seam: how a platform's settings are loaded, and changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labkit.json_values import JsonValue


@dataclass(frozen=True)
class SettingView:
    """A setting as it may be shown: a secret's value is masked."""

    key: str
    value: JsonValue
    source: str
    """`default`, `file`, `environment` or `override`."""


@dataclass(frozen=True)
class SettingFault:
    """What is wrong with one setting; never holds a secret's value."""

    key: str
    reason: str
    source: str


@dataclass(frozen=True)
class SettingChange:
    """One change of a setting, secrets masked."""

    key: str
    who: str
    when_ms: int
    """Milliseconds since the epoch."""
    before: JsonValue
    after: JsonValue


class Configuration(Protocol):
    """Settings of a platform's services."""

    def load(
        self, environment: str, variables: Mapping[str, str]
    ) -> Sequence[SettingView] | Sequence[SettingFault]:
        """The settings of an environment under these variables, or all that is wrong with them."""
        ...

    async def update(self, who: str, changes: Mapping[str, JsonValue]) -> None:
        """Change settings in all running processes; `Rejected`, and nothing done, if one is bad."""
        ...

    async def roll_back(self, who: str) -> None:
        """Undo the last update; `Rejected` when there is none."""
        ...

    async def seen_by(self, service: str) -> Mapping[int, Sequence[SettingView]]:
        """What each running process of a service works with, by process id."""
        ...

    async def history(self) -> Sequence[SettingChange]:
        """All changes, oldest first."""
        ...
