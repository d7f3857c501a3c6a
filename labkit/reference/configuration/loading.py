"""A service's settings from their sources, in order, each value with its source; or all faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from labkit.environment import IsolatedEnvironment
from labkit.errors import InvalidSettings, SettingFault
from labkit.json_values import JsonValue
from labkit.redaction import MASK, Redactor, Secret, secrets_in
from labkit.reference.configuration.models import MODELS, Models, SharedSettings, is_secret
from labkit.reference.configuration.running import variable
from labkit.reference.configuration.showing import legible, masked, quoted, url_shown
from labkit.reference.configuration.sources import (
    Files,
    FileSource,
    OverridesSource,
    Source,
    VariablesSource,
    unknown,
)
from labkit.targets.configuration import SettingView

_DEFAULT: Final = "default"


@dataclass(frozen=True)
class Loaded:
    """The settings of one service: a value that cannot change, so that nobody sees half of one."""

    settings: SharedSettings
    sources: Mapping[str, str]
    """Where each value came from."""
    given: Sequence[Secret] = field(default=(), repr=False)
    """The secrets of all sources, also those that a later source replaced."""

    @property
    def views(self) -> Sequence[SettingView]:
        """All settings as they may be shown."""
        return tuple(
            SettingView(key, self.shown(key), self.sources[key])
            for key in type(self.settings).model_fields
        )

    @property
    def secrets(self) -> Sequence[Secret]:
        """The values that must never be shown."""
        fields = type(self.settings).model_fields
        values = (getattr(self.settings, key) for key in fields)
        held = [Secret(one.get_secret_value()) for one in values if isinstance(one, SecretStr)]
        return (*held, *secrets_in({"DATABASE_URL": self.database_url.reveal()}), *self.given)

    @cached_property
    def _redactor(self) -> Redactor:
        return Redactor(self.secrets)

    @property
    def database_url(self) -> Secret:
        """Where the service finds its database."""
        return Secret(self.settings.database_url.get_secret_value())

    def shown(self, key: str) -> JsonValue:
        """A value as it may be shown: secrets masked wherever they are, and passwords in URLs."""
        value: Any = getattr(self.settings, key)
        if key == "database_url":
            return url_shown(self.database_url)
        if isinstance(value, SecretStr):
            return MASK if value.get_secret_value() else ""
        return masked(value, self._redactor) if isinstance(value, str) else value

    def changed_since(self, before: Loaded) -> Sequence[str]:
        """The keys whose values are others than they were."""
        fields = type(self.settings).model_fields
        return [
            key for key in fields if getattr(self.settings, key) != getattr(before.settings, key)
        ]


class Loader:
    """Merges what the sources say, and refuses it with all that is wrong, in one error."""

    def __init__(
        self,
        files: Files | None = None,
        variables: type[VariablesSource] = VariablesSource,
        models: Models = MODELS,
    ) -> None:
        self.files = files or Files()
        self.models = models
        self._variables = variables

    def load(
        self,
        service: str,
        environment: str,
        variables: Mapping[str, str],
        overrides: Mapping[str, JsonValue],
    ) -> Loaded:
        """The settings of a service; later sources win: default, file, variables, overrides.

        Raises `InvalidSettings`.
        """
        if service not in self.models:
            fault = unknown(str(service), self.models, "the call: a service")
            raise InvalidSettings([legible(fault, Redactor())])
        sources = self._sources(service, environment, variables, overrides)
        values = {key: (source, value) for source in sources for key, value in source().items()}
        model = self.models[service]
        secrets = _secrets(model, sources)
        redactor = Redactor(secrets)
        faults = [legible(fault, redactor) for source in sources for fault in source.faults]
        try:
            settings = model(**{key: value for key, (_, value) in values.items()})
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            faults += [self.fault(model, one, values) for one in details]
        else:
            if settings.environment != environment:
                told = f"must be {environment!r}, which is loaded, not {settings.environment!r}"
                faults.append(
                    SettingFault("environment", told, values["environment"][0].place("environment"))
                )
            if not faults:
                kinds = {key: source.kind for key, (source, _) in values.items()}
                every = {key: kinds.get(key, _DEFAULT) for key in model.model_fields}
                return Loaded(settings, every, secrets)
        raise InvalidSettings(tuple(dict.fromkeys(faults)))

    def _sources(
        self,
        service: str,
        environment: str,
        variables: Mapping[str, str],
        overrides: Mapping[str, JsonValue],
    ) -> Sequence[Source]:
        content = self.files.read(environment)
        name = self.files.path(environment).name
        isolated = IsolatedEnvironment(variables, "environment")
        return (
            FileSource(service, self.models, name, content),
            self._variables(service, self.models, isolated),
            OverridesSource(service, self.models, overrides),
        )

    def fault(
        self,
        model: type[SharedSettings],
        error: ErrorDetails,
        values: Mapping[str, tuple[Source, Any]],
    ) -> SettingFault:
        """What pydantic found, in our words and without the value of a secret."""
        key = str(error["loc"][0])
        if error["type"] == "missing":
            return SettingFault(key, "is missing", f"variable {variable(key)}")
        source, value = values[key]
        reason = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        # A secret may have been put into the wrong place as well.
        known = _secrets(model, {source for source, _ in values.values()})
        told = "" if is_secret(model, key) else f", not {quoted(value, known)}"
        return SettingFault(key, f"{reason}{told}", source.place(key))


def _secrets(model: type[SharedSettings], sources: Iterable[Source]) -> Sequence[Secret]:
    """All secrets that the sources give, whichever wins, and the passwords in what they give."""
    given = [
        str(revealed(value))
        for source in sources
        for key, value in source().items()
        if is_secret(model, key)
    ]
    held = [*map(Secret, given), *(one for text in given for one in secrets_in({"": text}))]
    return tuple(dict.fromkeys(one for one in held if one.reveal().strip()))


def revealed(value: Any) -> Any:
    """A value as it is, laid open if it is a secret."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value
