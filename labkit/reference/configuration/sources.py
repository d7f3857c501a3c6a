"""Where values come from: files, variables, updates; each source knows its name for each key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from labkit.environment import IsolatedEnvironment
from labkit.errors import InvalidSettings, SettingFault
from labkit.json_values import JsonValue
from labkit.reference.configuration.models import NOT_IN_FILES, Models, SharedSettings
from labkit.reference.configuration.running import PREFIX, variable

_ALIKE: Final = 0.75

_LONGEST_ALIKE: Final = 80

_FOLDER: Final = Path(__file__).parent / "environments"


def unknown(key: str, known: Iterable[str], source: str) -> SettingFault:
    """The fault of a key that nobody knows, with the known one that it may have meant."""
    # Of a very long one it would take long to find out that it is like none.
    alike = list(known) if len(key) <= _LONGEST_ALIKE else []
    close = difflib.get_close_matches(key, alike, n=1, cutoff=_ALIKE)
    meant = f"; did you mean {close[0]}?" if close else ""
    return SettingFault(key, f"is not known{meant}", source)


class Files:
    """The files of the environments, TOML, as they come with the platform."""

    def names(self) -> frozenset[str]:
        """The environments that there are."""
        return frozenset(path.stem for path in _FOLDER.glob("*.toml"))

    def path(self, environment: str) -> Path:
        """Where an environment's own values stand."""
        return _FOLDER / f"{environment}.toml"

    def require(self, environment: str) -> None:
        """Raises `InvalidSettings` where there is no file of this name."""
        if environment not in self.names():
            told = f"must be one of {', '.join(sorted(self.names()))}, not {environment!r:.80}"
            raise InvalidSettings([SettingFault("environment", told, "the call")])

    def read(self, environment: str) -> Mapping[str, Any]:
        """What stands there; raises `InvalidSettings` where there is no such file, or no TOML."""
        self.require(environment)
        path = self.path(environment)
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except ValueError as error:
            told = f"is no TOML: {error}"
            raise InvalidSettings([SettingFault(path.name, told, f"file {path.name}")]) from None


class Source(PydanticBaseSettingsSource):
    """Values for one service, under a kind's name; what it cannot take are its faults."""

    kind: str

    def __init__(
        self,
        model: type[SharedSettings],
        values: Mapping[str, Any],
        faults: Iterable[SettingFault] = (),
    ) -> None:
        super().__init__(model)
        self._values = values
        self.faults = tuple(faults)

    def place(self, key: str) -> str:
        """Where in it a key's value stands, or would."""
        raise NotImplementedError

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The value, as the library asks for it."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of the settings that the service has."""
        fields = self.settings_cls.model_fields
        return {key: value for key, value in self._values.items() if key in fields}


class FileSource(Source):
    """A file's values: shared ones on top, a service's own in the table of its name."""

    kind = "file"

    def __init__(self, service: str, models: Models, name: str, content: Mapping[str, Any]) -> None:
        self._name = name
        table = content.get(service, {})
        own = table if isinstance(table, dict) else {}
        top = {key: value for key, value in content.items() if key not in models}
        super().__init__(models[service], {**top, **own}, self._wrong(service, models, top, table))

    def place(self, key: str) -> str:  # noqa: ARG002 - all stand in one place
        """The file."""
        return f"file {self._name}"

    def _wrong(
        self, service: str, models: Models, top: Mapping[str, Any], table: Any
    ) -> Iterator[SettingFault]:
        shared, source = SharedSettings.model_fields.keys(), f"file {self._name}"
        for key in top:
            if key in NOT_IN_FILES:
                told = f"must not stand in a file: export {variable(key)}"
                yield SettingFault(key, told, source)
            elif key not in shared:
                yield unknown(key, [*shared, *models], source)
        if not isinstance(table, dict):
            yield SettingFault(service, f"must be a table: write [{service}]", source)
            return
        own = models[service].model_fields.keys() - shared
        for key in table.keys() - own:
            yield unknown(key, own, f"{source}, table [{service}]")


class VariablesSource(Source):
    """The values of environment variables; texts are read as the types of their settings."""

    kind = "environment"

    def __init__(self, service: str, models: Models, variables: IsolatedEnvironment) -> None:
        known = {variable(key): key for model in models.values() for key in model.model_fields}
        del known[variable("environment")]  # which one is loaded is not for a variable to say
        values, faults = {}, []
        for name, text in variables.as_mapping().items():
            if name in known:
                values[known[name]] = _typed(models[service].model_fields.get(known[name]), text)
            elif name.startswith(PREFIX):
                faults.append(unknown(name, known, f"variable {name}"))
        super().__init__(models[service], values, faults)

    def place(self, key: str) -> str:
        """The variable."""
        return f"variable {variable(key)}"


class OverridesSource(Source):
    """What was changed at run time."""

    kind = "override"

    def __init__(self, service: str, models: Models, overrides: Mapping[str, JsonValue]) -> None:
        known = {key for model in models.values() for key in model.model_fields}
        faults = [unknown(key, known, "update") for key in overrides if key not in known]
        super().__init__(models[service], overrides, faults)

    def place(self, key: str) -> str:  # noqa: ARG002 - all stand in one place
        """The update."""
        return "update"


def _typed(field: FieldInfo | None, text: str) -> Any:
    """The text as a value of the setting's type; where it is none, the text, to be refused."""
    if field is None or field.annotation is None:
        return text
    try:
        return TypeAdapter(field.annotation).validate_python(text)
    except ValidationError:
        return text
