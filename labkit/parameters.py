"""Typed parameters: what a notebook declares, and what is given to it.

Declarations are read from the source of the cell tagged `parameters`, which is never executed. The
declared type decides what a given value means, so that `title: str` keeps `123` as a text.
"""

from __future__ import annotations

import ast
import difflib
import enum
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labkit.errors import ParameterError
from labkit.json_values import MAX_YAML_BYTES, JsonValue, json_value, read_yaml_mapping
from labkit.parameter_types import (
    AnyJson,
    DictOf,
    ListOf,
    ParameterType,
    Scalar,
    accepts,
    convert,
    describe,
    parse,
    read_annotation,
)
from labkit.redaction import names_secret, secrets_in

RESERVED: Final = frozenset({"lab", "check"})
"""Names that a notebook binds by itself."""


@dataclass(frozen=True)
class Parameter:
    """A parameter as its notebook declares it."""

    name: str
    type: ParameterType
    default: JsonValue


@dataclass(frozen=True)
class Fault:
    """What is wrong with a cell's source, and where."""

    line: int
    """Counted from 1 in the cell."""
    text: str


def read_parameters(cell: ast.Module) -> tuple[tuple[Parameter, ...], tuple[Fault, ...]]:
    """What a parameters cell declares, in order, and everything that is wrong with it."""
    parameters: dict[str, Parameter] = {}
    faults: list[Fault] = []
    for statement in cell.body:
        if _declares_nothing(statement):
            continue
        try:
            parameter = _read_declaration(statement)
        except (ValueError, RecursionError) as error:
            faults.append(Fault(statement.lineno, str(error)))
            continue
        if parameter.name in parameters:
            faults.append(Fault(statement.lineno, f"{parameter.name} is declared twice; keep one"))
        parameters[parameter.name] = parameter
    return tuple(parameters.values()), tuple(faults)


def _declares_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _read_declaration(statement: ast.stmt) -> Parameter:
    match statement:
        case ast.AnnAssign(
            target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value
        ):
            wanted = read_annotation(annotation)
            default = _read_default(name, value)
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            default = _read_default(name, value)
            wanted = _type_of(default)
        case ast.AnnAssign(target=ast.Name(id=name)):
            raise ValueError(f"{name} has no default; give it one")
        case _:
            raise ValueError(
                f"{ast.unparse(statement)!r:.80} declares no parameter; only 'name: type = default'"
                " and imports may stand here, move the rest to another cell"
            )
    _refuse_name(name)
    if not accepts(wanted, default):
        raise ValueError(f"the default {default!r:.80} of {name} is not {describe(wanted)}")
    return Parameter(name, wanted, convert(wanted, default))


def _read_default(name: str, node: ast.expr) -> JsonValue:
    try:
        default = json_value(ast.literal_eval(node))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the default of {name} is not a literal JSON value") from error
    if _holds_password(default):
        raise ValueError(f"the default of {name} holds a password; read it from the environment")
    return default


def _type_of(default: JsonValue) -> ParameterType:
    match default:
        case None:
            return AnyJson()
        case list():
            return ListOf(AnyJson())
        case dict():
            return DictOf(AnyJson())
    return Scalar(type(default))


def _refuse_name(name: str) -> None:
    if name in RESERVED or name.startswith("__"):
        raise ValueError(f"{name} is a name that the notebook itself uses; choose another")
    if names_secret(name):
        raise ValueError(
            f"{name} names a secret, and nothing secret is ever a parameter, since parameters are"
            " written into notebooks and reports; read it from the environment"
        )


class Letter(enum.Enum):
    """How a value was given: by the environment, or by one of papermill's letters."""

    OPTION = "--environment"
    """The environment's own name."""
    ENVIRONMENT = "params/<environment>.yaml"
    FILE = "-f"
    YAML = "-y"
    TEXT = "-p"
    """A text that the declared type converts."""
    RAW = "-r"
    """A text that stays one."""


@dataclass(frozen=True)
class Given:
    """A value that was given under a name, before it is known who declares it."""

    name: str
    value: JsonValue
    letter: Letter
    origin: str
    """The file or option that it came from, as the user wrote it."""

    def bind(self, parameter: Parameter, notebook: str) -> JsonValue:
        """The value as the parameter declares it; raises `ParameterError` when it does not fit."""
        if _holds_password(self.value):
            raise ParameterError(
                f"{self.name} from {self.origin} holds a URL with a password, which would be"
                " written into notebooks and reports; put it into the environment"
            )
        try:
            return self._as(parameter.type)
        except ValueError as error:
            raise ParameterError(
                f"{self.name} must be {describe(parameter.type)}, as {notebook} declares it, not"
                f" {_shown(self.value)} from {self.origin}; give it another value"
            ) from error

    def unknown_among(self, known: Collection[str], notebooks: Sequence[str]) -> ParameterError:
        """The error that says that none of the notebooks declares the name.

        It tells the nearest name of those that are known, or all.
        """
        near = difflib.get_close_matches(self.name, known, n=1)
        if names_secret(self.name):
            advice = "nothing secret is ever a parameter: put it into the environment"
        elif near:
            advice = f"did you mean {near[0]}?"
        else:
            advice = f"known are {', '.join(sorted(known)) or 'none'}"
        return ParameterError(
            f"{self.name!r:.80} from {self.origin} is declared by no notebook that it could be for"
            f" ({', '.join(notebooks)}); {advice}"
        )

    def _as(self, wanted: ParameterType) -> JsonValue:
        if self.letter is Letter.TEXT and isinstance(self.value, str):
            return parse(wanted, self.value)
        value = json_value(self.value)
        if not accepts(wanted, value):
            raise ValueError(f"{self.name} is not {describe(wanted)}")
        return convert(wanted, value)


def _holds_password(value: JsonValue) -> bool:
    return bool(secrets_in({"value": json.dumps(value)}))


def _shown(value: JsonValue) -> str:
    """A scalar as it is; a list or mapping, whose members may be anybody's, by its kind alone."""
    match value:
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return f"{value!r:.80}"


def read_file(path: Path, letter: Letter, origin: str) -> tuple[Given, ...]:
    """What a YAML file of parameters gives; raises `ParameterError` when it cannot be read."""
    try:
        if not path.is_file():
            raise ParameterError(f"there is no file of parameters {origin}; check the path")
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1).decode("utf-8")
    except OSError as error:
        reason = error.strerror or "an error of the system"
        raise ParameterError(f"{origin} cannot be read: {reason}; check its rights") from error
    except UnicodeDecodeError as error:
        raise ParameterError(f"{origin} is not text in UTF-8; save it as such") from error
    return read_yaml_text(text, letter, origin)


def read_yaml_text(text: str, letter: Letter, origin: str) -> tuple[Given, ...]:
    """What a YAML text gives; raises `ParameterError` when it is no flat mapping of JSON values."""
    try:
        values = read_yaml_mapping(text)
    except ValueError as error:
        raise ParameterError(f"{origin} does not give parameters: {error}") from error
    return tuple(Given(name, value, letter, origin) for name, value in values.items())
