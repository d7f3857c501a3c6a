"""The types that a parameter can be declared with, and what fits them.

A small closed algebra over JSON values: scalars, lists, mappings, choices, unions, and anything.
`True` is no int here, and an int is welcome where a float is declared.
"""

from __future__ import annotations

import ast
import contextlib
import json
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from labkit.json_values import JsonValue, json_value, read_yaml


@dataclass(frozen=True)
class Scalar:
    """One of `bool`, `int`, `float`, `str` and the type of None."""

    kind: type[Any]


@dataclass(frozen=True)
class AnyJson:
    """Any JSON value: what a parameter with the default None and no annotation may be."""


@dataclass(frozen=True)
class ListOf:
    """A list whose items are of one type."""

    item: ParameterType


@dataclass(frozen=True)
class DictOf:
    """A mapping from texts to values of one type."""

    member: ParameterType


@dataclass(frozen=True)
class Choice:
    """One of the values that a `Literal` lists."""

    values: tuple[bool | int | str | None, ...]


@dataclass(frozen=True)
class AnyOf:
    """A value of any of several types."""

    members: tuple[ParameterType, ...]


ParameterType: TypeAlias = Scalar | AnyJson | ListOf | DictOf | Choice | AnyOf

_WORDS: Final[Mapping[str, bool | None]] = types.MappingProxyType(
    {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
)
"""The values that are written as words, as JSON and as Python write them."""


def accepts(wanted: ParameterType, value: JsonValue) -> bool:
    """Whether the value is of the type, or is an int where a float is wanted."""
    match wanted, value:
        case Scalar(kind), _:
            return type(value) is kind or (kind is float and _is_int_for_float(value))
        case ListOf(item), list():
            return all(accepts(item, one) for one in value)
        case DictOf(member), dict():
            return all(accepts(member, one) for one in value.values())
        case Choice(choices), _:
            return any(type(value) is type(choice) and value == choice for choice in choices)
        case AnyOf(members), _:
            return any(accepts(member, value) for member in members)
    return wanted == AnyJson()


def _is_int_for_float(value: JsonValue) -> bool:
    return type(value) is int and abs(value) <= sys.float_info.max


def convert(wanted: ParameterType, value: JsonValue) -> JsonValue:
    """An accepted value as the type has it: ints become floats where these are wanted.

    A union leaves a value unchanged if one of its members takes it so.
    """
    match wanted, value:
        case Scalar(kind), int() if kind is float:
            return float(value)
        case ListOf(item), list():
            return [convert(item, one) for one in value]
        case DictOf(member), dict():
            return {key: convert(member, one) for key, one in value.items()}
        case AnyOf(members), _:
            converted = [convert(one, value) for one in members if accepts(one, value)]
            unchanged = (one for one in converted if json.dumps(one) == json.dumps(value))
            return next(unchanged, converted[0])
    return value


def parse(wanted: ParameterType, text: str) -> JsonValue:
    """The value of the type that a text on the command line stands for.

    `str` takes the text as it is, words are written as in JSON or Python, lists and mappings as
    JSON or YAML. A union asks its members in order, `str` last. Raises `ValueError` when the text
    stands for no value of the type.
    """
    match wanted:
        case AnyOf(members):
            return _parse_any(members, text)
        case Scalar(kind) if kind not in {bool, types.NoneType}:
            return json_value(kind(text))
        case Scalar():
            value: JsonValue = _WORDS.get(text, text)
        case Choice(choices):
            readings = [Scalar(type(choice)) for choice in choices]
            value = text if text in choices else _parse_any(readings, text)
        case _:
            value = read_yaml(text)
    if not accepts(wanted, value):
        raise ValueError(f"{text!r:.80} is not {describe(wanted)}")
    return convert(wanted, value)


def _parse_any(members: Iterable[ParameterType], text: str) -> JsonValue:
    for member in sorted(members, key=lambda member: member == Scalar(str)):
        with contextlib.suppress(ValueError):
            return parse(member, text)
    raise ValueError(f"{text!r:.80} fits no member of the union")


def describe(wanted: ParameterType) -> str:
    """The type as an annotation has it."""
    match wanted:
        case Scalar(kind):
            return "None" if kind is types.NoneType else kind.__name__
        case AnyJson():
            return "Any"
        case ListOf(item):
            return "list" if item == AnyJson() else f"list[{describe(item)}]"
        case DictOf(member):
            return "dict" if member == AnyJson() else f"dict[str, {describe(member)}]"
        case Choice(choices):
            return f"Literal[{', '.join(map(repr, choices))}]"
        case AnyOf(members):
            return " | ".join(map(describe, members))


def read_annotation(node: ast.expr) -> ParameterType:
    """The type that an annotation names; raises `ValueError` with the part that names none."""
    match node:
        case ast.Constant(value=str(text)):
            return read_annotation(_expression(text))
        case ast.Constant(value=None):
            return Scalar(types.NoneType)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return AnyOf((*_members(left), *_members(right)))
        case ast.Subscript(value=head, slice=ast.Tuple(elts=arguments)):
            return _read_subscript(_name(head), arguments, node)
        case ast.Subscript(value=head, slice=argument):
            return _read_subscript(_name(head), [argument], node)
    if (named := _NAMED.get(_name(node))) is not None:
        return named
    raise _no_type(node)


_NAMED: Final[Mapping[str, ParameterType]] = types.MappingProxyType(
    {kind.__name__: Scalar(kind) for kind in (bool, int, float, str)}
    | dict.fromkeys(("list", "List"), ListOf(AnyJson()))
    | dict.fromkeys(("dict", "Dict"), DictOf(AnyJson()))
    | {"Any": AnyJson()}
)


def _read_subscript(head: str, arguments: list[ast.expr], node: ast.expr) -> ParameterType:
    if head == "Literal":
        return Choice(tuple(map(_choice, arguments)))
    match head, [read_annotation(argument) for argument in arguments]:
        case "list" | "List", [item]:
            return ListOf(item)
        case "dict" | "Dict", [Scalar(kind), member] if kind is str:
            return DictOf(member)
        case "Optional", [member]:
            return AnyOf((member, Scalar(types.NoneType)))
        case "Union", members:
            return AnyOf(tuple(members))
    raise _no_type(node)


def _members(node: ast.expr) -> tuple[ParameterType, ...]:
    wanted = read_annotation(node)
    return wanted.members if isinstance(wanted, AnyOf) else (wanted,)


def _choice(node: ast.expr) -> bool | int | str | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise _no_type(node) from error
    if value is None or isinstance(value, bool | int | str):
        return value
    raise _no_type(node)


def _name(node: ast.expr) -> str:
    """`Literal` for both `Literal` and `typing.Literal`; empty for what is no name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name):
            return name
    return ""


def _expression(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r:.80} is not a type") from error


def _no_type(node: ast.expr) -> ValueError:
    return ValueError(
        f"{ast.unparse(node):.80} is not a type that a parameter can have; take bool, int, float,"
        " str, list, dict, None, Literal, or a union of them"
    )
