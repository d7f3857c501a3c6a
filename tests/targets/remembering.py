"""Platforms that write down every secret that they are given, in a file outside of the run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from labkit.json_values import JsonValue
from labkit.reference.platform import Platform
from labkit.reference.sabotage.configuration import TellsSecrets
from labkit.targets.configuration import SettingView

VARIABLE: Final = "TESTS_SECRETS_FILE"
"""The environment variable that names the file: one secret a line."""

_PASSWORD: Final = re.compile(r"//[^:@]*:([^@]+)@")


class _Remembering:
    """The configuration, with what is given to it written down."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._configuration, name)

    async def load(
        self, service: str, environment: str, variables: Mapping[str, str]
    ) -> Sequence[SettingView]:
        self._note(variables.get(self.variable("api_secret")))
        self._note(*_PASSWORD.findall(variables.get(self.variable("database_url"), "")))
        found: Sequence[SettingView] = await self._configuration.load(
            service, environment, variables
        )
        return found

    async def update(self, who: str, changes: Mapping[str, JsonValue]) -> None:
        self._note(changes.get("api_secret"))
        await self._configuration.update(who, changes)

    def _note(self, *secrets: JsonValue) -> None:
        with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
            file.writelines(f"{secret}\n" for secret in secrets if secret)


class Remembering(Platform):
    """The platform as it is, but for that."""

    @property
    def configuration(self) -> Any:
        """What is given to it is written down."""
        return _Remembering(super().configuration)


class RememberingAndTelling(Remembering, TellsSecrets):
    """One whose errors tell every secret."""
