"""Platforms whose configuration has one faulty part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

from labkit.environment import IsolatedEnvironment
from labkit.errors import InvalidSettings, SettingFault
from labkit.json_values import JsonValue
from labkit.reference.configuration.connecting import ServiceConnection
from labkit.reference.configuration.loading import Loaded, Loader, revealed
from labkit.reference.configuration.models import (
    AnalyticsSettings,
    AuthSettings,
    BackendSettings,
    Models,
    SharedSettings,
)
from labkit.reference.configuration.overrides import (
    CHANNEL,
    Check,
    Overrides,
    OverrideStore,
    Shown,
    current,
)
from labkit.reference.configuration.parts import ConfigurationParts
from labkit.reference.configuration.sources import Files, Source, VariablesSource
from labkit.reference.configuration.watch import Watch
from labkit.reference.data.pool import Connection
from labkit.reference.platform import Parts, Platform
from labkit.sabotage import Sabotage

_AREA: Final = "configuration"
_LOADING: Final = "environment_specific_configuration_loading"
_VALIDATION: Final = "configuration_validation_and_error_handling"
_UPDATES: Final = "dynamic_configuration_updates"
_SERVICES: Final = "multi_service_configuration_consistency"


def _parts(name: str) -> Parts:
    """Those of a platform whose configuration is made of what stands under this name here."""
    return Parts(configuration=f"{__name__}:{name}")


class _Mixing(Files):
    def read(self, environment: str) -> Mapping[str, Any]:
        other = "development" if environment == "production" else environment
        return {**super().read(other), "environment": environment}


class _MixingLoader(Loader):
    def __init__(self) -> None:
        super().__init__(files=_Mixing())


MIXING: Final = ConfigurationParts(loader=_MixingLoader)


class ReadsAnotherFile(Platform):
    """Production runs with a copy of development's file, in which only the name was changed."""

    parts = _parts("MIXING")


class _OnlySecrets(VariablesSource):
    def __init__(self, service: str, models: Models, variables: IsolatedEnvironment) -> None:
        super().__init__(service, models, variables)
        secret = ("database_url", "api_secret")
        self._values = {key: value for key, value in self._values.items() if key in secret}


class _OnlySecretsLoader(Loader):
    def __init__(self) -> None:
        super().__init__(variables=_OnlySecrets)


ONLY_SECRETS: Final = ConfigurationParts(loader=_OnlySecretsLoader)


class IgnoresVariables(Platform):
    """Secrets come from environment variables, and nothing else does."""

    parts = _parts("ONLY_SECRETS")


class _Hasty(Loader):
    def load(
        self,
        service: str,
        environment: str,
        variables: Mapping[str, str],
        overrides: Overrides,
    ) -> Loaded:
        try:
            return super().load(service, environment, variables, overrides)
        except InvalidSettings as error:
            raise InvalidSettings(error.faults[:1]) from None


HASTY: Final = ConfigurationParts(loader=_Hasty)


class TellsTheFirstFaultOnly(Platform):
    """Who has put one setting right learns of the next."""

    parts = _parts("HASTY")


class _Telling(Loader):
    def fault(
        self,
        model: type[SharedSettings],
        error: ErrorDetails,
        values: Mapping[str, tuple[Source, Any]],
    ) -> SettingFault:
        fault = super().fault(model, error, values)
        _, value = values.get(fault.key, (None, None))
        told = f"{error['msg']} [input_value={revealed(value)!r}]"
        return SettingFault(fault.key, told, fault.source)


TELLING: Final = ConfigurationParts(loader=_Telling)


class TellsSecrets(Platform):
    """A wrong value is told with what is wrong, whatever it is the value of."""

    parts = _parts("TELLING")


class _Forgotten(Watch):
    def take(self, loaded: Loaded) -> None:
        if (self.worker.service, self.worker.number) != ("backend", 1):
            super().take(loaded)


FORGOTTEN: Final = ConfigurationParts(watch=_Forgotten)


class ForgetsOneProcess(Platform):
    """The second process of the backend works with the settings that it was started with."""

    parts = _parts("FORGOTTEN")


class _Piecemeal(Watch):
    def take(self, loaded: Loaded) -> None:
        changed = loaded.changed_since(self.settings)
        if changed:
            piece = {changed[0]: getattr(loaded.settings, changed[0])}
            settings = self.settings.settings.model_copy(update=piece)
            loaded = Loaded(settings, loaded.sources)
        super().take(loaded)


PIECEMEAL: Final = ConfigurationParts(watch=_Piecemeal)


class AppliesKeyByKey(Platform):
    """A process takes one key at a time, and the next when it looks again."""

    parts = _parts("PIECEMEAL")


class _Lenient(OverrideStore):
    async def update(
        self, environment: str, who: str, changes: Mapping[str, JsonValue], check: Check
    ) -> None:
        try:
            await super().update(environment, who, changes, check)
        except InvalidSettings as error:
            bad = {fault.key for fault in error.faults}
            valid = {key: value for key, value in changes.items() if key not in bad}
            if valid:
                await super().update(environment, who, valid, check)
            raise


LENIENT: Final = ConfigurationParts(overrides=_Lenient)


class KeepsTheValidPart(Platform):
    """An update is refused, and what was valid of it is kept."""

    parts = _parts("LENIENT")


class _Unnoted(OverrideStore):
    async def pop(self, connection: Connection, update: int, keys: Sequence[str]) -> None:
        forget = "delete from setting_values where update_id = $1 and key = any($2)"
        await connection.execute(forget, update, list(keys)[:-1] or list(keys))
        emptied = "delete from setting_updates where id = $1 and not exists (select from"
        await connection.execute(f"{emptied} setting_values where update_id = id)", update)


FORGETFUL: Final = ConfigurationParts(overrides=_Unnoted)


class RollsBackAllButOneKey(Platform):
    """Of an update of several keys the last one stays."""

    parts = _parts("FORGETFUL")


class _Raw:
    def __init__(self, shown: Shown, overrides: Overrides) -> None:
        self._shown = shown
        self._overrides = overrides

    def shown(self, key: str) -> JsonValue:
        return self._overrides.get(key, self._shown.shown(key))


class _Frank(OverrideStore):
    async def _note(
        self,
        connection: Connection,
        environment: str,
        who: str,
        keys: Sequence[str],
        before: Shown,
        after: Shown,
    ) -> None:
        raw = _Raw(after, await current(connection, environment))
        await super()._note(connection, environment, who, keys, before, raw)


FRANK: Final = ConfigurationParts(overrides=_Frank)


class ShowsSecretsInTheHistory(Platform):
    """The history tells the new value as it was given."""

    parts = _parts("FRANK")


class _Stale(Watch):
    def take(self, loaded: Loaded) -> None:
        if self.worker.service != "analytics":
            super().take(loaded)


STALE: Final = ConfigurationParts(watch=_Stale)


class KeepsAStaleCopyInOneService(Platform):
    """Analytics reads its settings once, when it starts."""

    parts = _parts("STALE")


class _Waiting(Watch):
    _is_called = False

    async def listen(self, connection: ServiceConnection) -> None:
        def call(*_: object) -> None:
            self._is_called = True
            self._called.set()

        await connection.add_listener(CHANNEL, call)

    async def read(self, connection: ServiceConnection) -> Overrides:
        return await super().read(connection) if self._is_called else {}


WAITING: Final = ConfigurationParts(watch=_Waiting)


class ReadsOnlyWhenCalled(Platform):
    """A process that starts knows nothing of earlier updates until the next one."""

    parts = _parts("WAITING")


class _Everything(BackendSettings, AuthSettings, AnalyticsSettings):
    pass


class _Common(Loader):
    def __init__(self) -> None:
        services = ("backend", "auth", "analytics")
        super().__init__(models=dict.fromkeys(services, _Everything))


COMMON: Final = ConfigurationParts(loader=_Common)


class ShowsEveryServiceEverything(Platform):
    """There is one class of settings, and every service has all of them."""

    parts = _parts("COMMON")


SABOTAGES: Final = (
    Sabotage.of(
        ReadsAnotherFile,
        "file-of-another-environment",
        area=_AREA,
        promise="Each environment is given its own file.",
        stands_for="A configuration file that was copied, and of which only the name was changed.",
        must={_LOADING: "foreign-value"},
    ),
    Sabotage.of(
        IgnoresVariables,
        "variable-ignored",
        area=_AREA,
        promise="An environment variable wins over the file.",
        stands_for="A deployment's variable that the image's own file silently wins over.",
        must={_LOADING: "wrong-source", _VALIDATION: "fault-not-told"},
    ),
    Sabotage.of(
        TellsTheFirstFaultOnly,
        "first-fault-only",
        area=_AREA,
        promise="All that is wrong is told at once.",
        stands_for="Validation that raises at the first field: one restart for each fault.",
        must={_VALIDATION: "fault-not-told"},
    ),
    Sabotage.of(
        TellsSecrets,
        "secret-in-message",
        area=_AREA,
        promise="No error tells a secret's value.",
        stands_for="`input_value=` in a validation error that goes into the log.",
        must={_VALIDATION: "secret-told"},
    ),
    Sabotage.of(
        ForgetsOneProcess,
        "one-process-not-told",
        area=_AREA,
        promise="An update reaches every process.",
        stands_for="One worker that was forked before the subscription, and keeps its settings.",
        must={_UPDATES: "update-not-seen", _SERVICES: "stale-service"},
    ),
    Sabotage.of(
        AppliesKeyByKey,
        "applied-key-by-key",
        area=_AREA,
        promise="Nobody sees half of an update.",
        stands_for="Settings that are assigned one after the other while requests run.",
        must={_UPDATES: "half-applied"},
    ),
    Sabotage.of(
        KeepsTheValidPart,
        "valid-part-kept",
        area=_AREA,
        promise="An invalid update changes nothing.",
        stands_for="A loop over the changes that stores each one before it looks at the next.",
        must={_UPDATES: "half-kept"},
    ),
    Sabotage.of(
        RollsBackAllButOneKey,
        "key-forgotten-on-rollback",
        area=_AREA,
        promise="Undoing an update restores all of its keys.",
        stands_for="A rollback by a list of keys, of which one was left out.",
        must={_UPDATES: "not-restored"},
    ),
    Sabotage.of(
        ShowsSecretsInTheHistory,
        "secret-in-history",
        area=_AREA,
        promise="The history shows no secret.",
        stands_for="An audit log of raw values, which everybody may read.",
        must={_UPDATES: "secret-in-history"},
    ),
    Sabotage.of(
        KeepsAStaleCopyInOneService,
        "stale-service",
        area=_AREA,
        promise="All services work with the same shared settings.",
        stands_for="A client that reads its settings at import.",
        must={_SERVICES: "stale-service"},
    ),
    Sabotage.of(
        ReadsOnlyWhenCalled,
        "stale-at-start",
        area=_AREA,
        promise="A service that was down starts with what is in force.",
        stands_for="Notifications without a first read: what came before is lost.",
        must={_SERVICES: "stale-start"},
    ),
    Sabotage.of(
        ShowsEveryServiceEverything,
        "settings-of-all-services",
        area=_AREA,
        promise="No service sees another's own settings.",
        stands_for="One settings class for everything, imported everywhere.",
        must={_SERVICES: "foreign-setting-seen"},
    ),
)
