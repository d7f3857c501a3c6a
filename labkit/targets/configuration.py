"""Area 6 of the seam: how a platform's settings are loaded, and changed while it runs.

The platform has at least the services `backend` (two processes or more), `auth` and `analytics`.
These settings all services share: `environment` (the name of the one that was loaded),
`database_url`, `log_level` (DEBUG, INFO, WARNING or ERROR), `api_secret` and `request_timeout_ms`
(a whole number above 0). Beside them each service has settings of its own, under names that no
other service has. A flag, `beta_features`, is shared, and off by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
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
class SettingNotice:
    """What a process noted when a setting changed under it."""

    key: str
    at_ms: int
    """When the process worked with the new value, in milliseconds since the epoch."""


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
    """Settings of a platform's services, whose processes start when they are first asked for."""

    def variable(self, key: str) -> str:
        """The name of the environment variable that gives a setting."""
        ...

    def file(self, environment: str) -> Path:
        """The file, TOML, in which an environment's own values stand.

        The shared ones stand on top, a service's own in a table of its name.
        """
        ...

    async def load(
        self, service: str, environment: str, variables: Mapping[str, str]
    ) -> Sequence[SettingView]:
        """A service's settings in an environment, under these variables and no others.

        Later sources win: `default`, `file`, `environment` (the variables), `override` (what was
        updated at run time in this environment). Raises `InvalidSettings` with all that is wrong.
        """
        ...

    def connected(
        self, service: str, environment: str, variables: Mapping[str, str]
    ) -> AbstractAsyncContextManager[None]:
        """A connection to the database that the loaded settings name, open for the block.

        Its application name tells the server both service and environment. Raises as `load` does.
        """
        ...

    async def update(self, who: str, changes: Mapping[str, JsonValue]) -> None:
        """Change settings, for all running processes; they follow soon after.

        Raises `InvalidSettings`, with nothing changed, if any of it is invalid or unknown.
        """
        ...

    async def roll_back(self, who: str) -> None:
        """Undo the last update that was not undone yet; `Rejected` when there is none."""
        ...

    async def history(self) -> Sequence[SettingChange]:
        """All changes, oldest first; those of one update follow each other."""
        ...

    async def seen_by(self, service: str) -> Mapping[int, Sequence[SettingView]]:
        """What each running process of a service works with, by process id."""
        ...

    async def notices(self, service: str) -> Mapping[int, Sequence[SettingNotice]]:
        """What each running process of a service noted since it started, by process id."""
        ...

    async def proofs(self, service: str, key: str, challenge: str) -> Mapping[int, str]:
        """That each running process of a service has a secret, by process id.

        It is HMAC-SHA256 of the challenge under the secret, both as UTF-8, in hexadecimal digits.
        """
        ...

    async def stop(self, service: str) -> None:
        """Stop all processes of a service in order; harmless when there are none."""
        ...

    async def start(self, service: str) -> None:
        """Start the processes of a service, with the settings as they are now."""
        ...
