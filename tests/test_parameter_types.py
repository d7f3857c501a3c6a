"""Which values fit which declared types, and how texts become them."""

import ast

import pytest

from labkit.json_values import JsonValue
from labkit.parameter_types import (
    ParameterType,
    accepts,
    convert,
    describe,
    parse,
    read_annotation,
)


def type_of(annotation: str) -> ParameterType:
    """The type that an annotation names."""
    return read_annotation(ast.parse(annotation, mode="eval").body)


@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        ("int", "int"),
        ("None", "None"),
        ("Any", "Any"),
        ("list", "list"),
        ("List[int]", "list[int]"),
        ("dict", "dict"),
        ("dict[str, float]", "dict[str, float]"),
        ("Optional[int]", "int | None"),
        ("typing.Union[int, str]", "int | str"),
        ("int | str | None", "int | str | None"),
        ("int | (str | None)", "int | str | None"),
        ("'int | None'", "int | None"),
        ("list['int']", "list[int]"),
        ("Literal['a', 1, -1, None]", "Literal['a', 1, -1, None]"),
        ("t.Literal['a'] | list[dict[str, bool]]", "Literal['a'] | list[dict[str, bool]]"),
    ],
)
def test_read_annotation(annotation: str, described: str) -> None:
    """An annotation is read in all its spellings, and described in one."""
    assert describe(type_of(annotation)) == described


@pytest.mark.parametrize(
    "annotation",
    [
        "tuple",
        "Path",
        "list[int, str]",
        "dict[int, str]",
        "dict[str]",
        "set[int]",
        "Literal[1.5]",
        "Literal[x]",
        "Literal[{[]: 1}]",
        "int + str",
        "f()",
        "a.b.int",
        "'int |'",
        "5",
    ],
)
def test_unknown_annotation(annotation: str) -> None:
    """An annotation that names no type of JSON values is refused."""
    with pytest.raises(ValueError, match="is not a type"):
        type_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "fitting", "unfitting"),
    [
        ("bool", [True], [1, "true", None]),
        ("int", [1, 10**30], [True, 1.0, "1"]),
        ("float", [1.5, 1], [True, "1.5", 10**400]),
        ("str", ["1", ""], [1, None, ["a"]]),
        ("None", [None], [False, 0, "None"]),
        ("list[int]", [[], [1]], [[True], [1, "a"], {}, "[]"]),
        ("dict[str, float]", [{}, {"a": 1}], [{"a": "b"}, []]),
        ("Literal['a', 1]", ["a", 1], ["b", True, 1.0]),
        ("int | None", [1, None], ["", False]),
        ("Any", [None, [1, {"a": "b"}]], []),
    ],
)
def test_accepts(annotation: str, fitting: list[JsonValue], unfitting: list[JsonValue]) -> None:
    """A type accepts its own values alone; True is no int, and an int may stand for a float."""
    wanted = type_of(annotation)

    assert [value for value in fitting if not accepts(wanted, value)] == []
    assert [value for value in unfitting if accepts(wanted, value)] == []


@pytest.mark.parametrize(
    ("annotation", "value", "converted"),
    [
        ("float", 3, "3.0"),
        ("list[float]", [1, 2.5], "[1.0, 2.5]"),
        ("dict[str, float]", {"a": 1}, "{'a': 1.0}"),
        ("float | int", 3, "3"),
        ("list[float] | list[int]", [3], "[3]"),
        ("float | None", 3, "3.0"),
        ("int", 3, "3"),
    ],
)
def test_convert(annotation: str, value: JsonValue, converted: str) -> None:
    """An int becomes a float where a float is wanted and no int is."""
    assert repr(convert(type_of(annotation), value)) == converted


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("str", "123", "123"),
        ("str", "None", "None"),
        ("int", "-5", -5),
        ("float", "1e3", 1000.0),
        ("float", "3", 3.0),
        ("bool", "true", True),
        ("bool", "False", False),
        ("int | None", "null", None),
        ("str | None", "None", None),
        ("str | int", "5", 5),
        ("str | int", "five", "five"),
        ("list[int]", "[1, 2]", [1, 2]),
        ("list[float]", "[1]", [1.0]),
        ("dict[str, bool]", '{"a": true}', {"a": True}),
        ("dict[str, bool]", "a: no", {"a": False}),
        ("Literal['a', '1', 2]", "1", "1"),
        ("Literal['a', '1', 2]", "2", 2),
        ("Literal['a', None]", "None", None),
        ("Any", "[1]", [1]),
    ],
)
def test_parse(annotation: str, text: str, value: JsonValue) -> None:
    """A text of the command line becomes what the declared type makes of it."""
    parsed = parse(type_of(annotation), text)

    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ("int", "5.0"),
        ("int", "five"),
        ("int", "9" * 5000),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "1e999"),
        ("bool", "1"),
        ("bool", "None"),
        ("None", "true"),
        ("str", "\udc80"),
        ("list[int]", "[1, a]"),
        ("list[int]", "1"),
        ("dict", "[1"),
        ("Literal['a', 1]", "b"),
        ("int | None", "x"),
    ],
)
def test_unfit_text(annotation: str, text: str) -> None:
    """A text that stands for no value of the type is refused."""
    with pytest.raises(ValueError):
        parse(type_of(annotation), text)
