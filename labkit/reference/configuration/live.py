"""The `Configuration` of the seam: settings that are loaded, changed, and followed by processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from labkit.errors import InvalidSettings, Rejected, SettingFault
from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.configuration.connecting import connected
from labkit.reference.configuration.fleet import Fleet
from labkit.reference.configuration.loading import Loaded, Loader
from labkit.reference.configuration.models import is_secret
from labkit.reference.configuration.overrides import Overrides, OverrideStore
from labkit.reference.configuration.parts import PROCESSES, parts_named
from labkit.reference.configuration.running import Running, variable
from labkit.reference.configuration.worker_config import WorkerConfig
from labkit.reference.data.pool import Pool
from labkit.targets.configuration import SettingChange, SettingNotice, SettingView

_LONGEST_CHALLENGE: Final = 4_096


@dataclass(frozen=True)
class AllServices:
    """The settings of all services together, as they may be shown."""

    loaded: Sequence[Loaded] = field(default_factory=tuple)

    def shown(self, key: str) -> JsonValue:
        """A value; it is equal in all services that have it."""
        return next(one.shown(key) for one in self.loaded if key in one.sources)

    @property
    def secrets(self) -> Sequence[Secret]:
        """What must never be shown."""
        return tuple({secret for one in self.loaded for secret in one.secrets})


class LiveConfiguration:
    """Loads settings for whoever asks, and changes those that the platform's services run with."""

    def __init__(
        self, running: Running, loader: Loader, overrides: OverrideStore, fleet: Fleet
    ) -> None:
        self._running = running
        self._loader = loader
        self._overrides = overrides
        self._fleet = fleet

    def variable(self, key: str) -> str:
        """The name of the environment variable that gives a setting."""
        return variable(key)

    def file(self, environment: str) -> Path:
        """The file in which an environment's own values stand."""
        return self._loader.files.path(environment)

    async def load(
        self, service: str, environment: str, variables: Mapping[str, str]
    ) -> Sequence[SettingView]:
        """A service's settings in an environment, each with its source."""
        return (await self._loaded(service, environment, variables)).views

    @asynccontextmanager
    async def connected(
        self, service: str, environment: str, variables: Mapping[str, str]
    ) -> AsyncIterator[None]:
        """A connection by the loaded settings; the server knows it as `service/environment`."""
        loaded = await self._loaded(service, environment, variables)
        async with connected(service, loaded):
            yield

    async def update(self, who: str, changes: Mapping[str, JsonValue]) -> None:
        """Change settings for all running processes, or, if any is invalid, nothing."""
        await self._overrides.update(self._running.environment, who, changes, self._all)

    async def roll_back(self, who: str) -> None:
        """Undo the last update."""
        await self._overrides.roll_back(self._running.environment, who, self._all)

    async def history(self) -> Sequence[SettingChange]:
        """What has happened in the environment that the services run in."""
        return await self._overrides.history(self._running.environment)

    async def seen_by(self, service: str) -> Mapping[int, Sequence[SettingView]]:
        """What each process works with."""
        told = await self._ask(service, "seen")
        return {pid: [SettingView(**one) for one in seen] for pid, seen in told.items()}

    async def notices(self, service: str) -> Mapping[int, Sequence[SettingNotice]]:
        """What each process noted since it started; the newest 1,000."""
        told = await self._ask(service, "notices")
        return {pid: [SettingNotice(**one) for one in some] for pid, some in told.items()}

    async def proofs(self, service: str, key: str, challenge: str) -> Mapping[int, str]:
        """That each process has a secret; raises `Rejected` for a key that is none.

        A challenge is at most 4,096 characters long.
        """
        model = self._loader.models.get(service)
        if model is None or key not in model.model_fields or not is_secret(model, key):
            raise Rejected(f"{key!r:.80} is no secret of the service {service!r:.80}")
        _require_challenge(challenge)
        return await self._ask(service, "proof", key=key, challenge=challenge)

    async def stop(self, service: str) -> None:
        """Stop the processes of a service."""
        await self._fleet.stop(self._known(service))

    async def start(self, service: str) -> None:
        """Start the processes of a service."""
        await self._fleet.start(self._known(service))

    async def close(self) -> None:
        """Stop all processes; raises `ServiceUnavailable` when one had ended by itself."""
        await self._fleet.close()

    async def _ask(self, service: str, question: str, **facts: str) -> Mapping[int, Any]:
        return await self._fleet.ask(self._known(service), question, **facts)

    def _known(self, service: str) -> str:
        if service not in self._loader.models:
            known = ", ".join(self._loader.models)
            raise Rejected(f"{service!r:.80} is no service of the platform: {known}")
        return service

    async def _loaded(self, service: str, environment: str, variables: Mapping[str, str]) -> Loaded:
        self._loader.files.require(environment)  # before the database is asked for such a name
        overrides = await self._overrides.read(environment)
        return self._loader.load(service, environment, variables, overrides)

    def _all(self, overrides: Overrides) -> AllServices:
        """The settings of all running services; raises `InvalidSettings` with all their faults."""
        loaded: list[Loaded] = []
        faults: dict[SettingFault, None] = {}
        for service in self._loader.models:
            running = self._running
            try:
                loaded.append(
                    self._loader.load(service, running.environment, running.variables, overrides)
                )
            except InvalidSettings as error:
                faults |= dict.fromkeys(error.faults)
        if faults:
            raise InvalidSettings(tuple(faults))
        return AllServices(loaded)


def _require_challenge(challenge: object) -> None:
    if not isinstance(challenge, str) or len(challenge) > _LONGEST_CHALLENGE:
        raise Rejected(f"a challenge is a text of at most {_LONGEST_CHALLENGE:,} characters")
    try:
        challenge.encode()
    except UnicodeEncodeError:
        raise Rejected("a challenge holds half of a surrogate pair") from None


def live_configuration(running: Running, pool: Pool) -> LiveConfiguration:
    """The parts, put together; no process is started yet."""
    parts = parts_named(running.parts)
    configs = {
        service: [
            WorkerConfig(running.parts, service, running.environment, number, running.variables)
            for number in range(count)
        ]
        for service, count in PROCESSES.items()
    }
    return LiveConfiguration(running, parts.loader(), parts.overrides(pool), parts.fleet(configs))
