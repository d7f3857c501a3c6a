"""What counts as a JSON value, and the YAML that is read as one."""

import datetime as dt
import math

import pytest

from labkit.json_values import MAX_YAML_BYTES, JsonValue, json_value, read_yaml, read_yaml_mapping


def test_json_value() -> None:
    """A JSON value comes back as what it is."""
    value: JsonValue = {"a": [1, 2.5, True, None, "text", {}]}

    assert json_value(value) == value


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, (1,), {1}, b"x", 1j, {1: "a"}, ["\ud800"], dt.date(2026, 1, 1)],
)
def test_no_json_value(value: object) -> None:
    """What JSON cannot hold is refused, and never turned into a text."""
    with pytest.raises(ValueError):
        json_value(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing", None),
        ("a: 1", {"a": 1}),
        ("[1, 2.5, yes, ~]", [1, 2.5, True, None]),
        ('{"a": "b"}', {"a": "b"}),
        ("since: 2026-01-02", {"since": "2026-01-02"}),
        ("a: &anchor 1", {"a": 1}),
    ],
)
def test_read_yaml(text: str, value: object) -> None:
    """YAML is read as papermill reads it, with dates left as texts."""
    assert read_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2", "line 1, column 1: a key is given twice"),
        ("a:\n  b: 1\n  b: 2", "line 2, column 3: a key is given twice"),
        ("a: &x [1]\nb: *x", "line 2, column 4: aliases"),
        ("a: &x [*x]", "aliases"),
        ("a: !!python/name:os.system", "tags"),
        ("a: !!int ''", "tags"),
        ("a: .nan", "nan is not a JSON number"),
        ("1: a", "the key 1 is not a text"),
        ("no: a", "the key False is not a text"),
        ("? [a]\n: b", "unhashable"),
        ('"\\ud800"', "surrogate"),
        ("a: [", "line 1, column 5"),
        ("a: 1\n---\nb: 2", "line 2, column 1"),
        ("a: \x00", "a character that YAML does not allow"),
        ("a: 0b_", "invalid literal"),
        ("[" * 20_000, "nested too deeply"),
        ("[" * 51 + "]" * 51, "nested too deeply"),
        ("a" * (MAX_YAML_BYTES + 1), "longer than 1,000,000 bytes"),
    ],
)
def test_refused_yaml(text: str, told: str) -> None:
    """YAML that is malformed, ambiguous, dangerous or no JSON is refused with its place."""
    with pytest.raises(ValueError) as caught:
        read_yaml(text)

    assert told in str(caught.value)


def test_no_echo() -> None:
    """A message about malformed YAML gives the place and not the line, which may hold a secret."""
    with pytest.raises(ValueError) as caught:
        read_yaml("password: hunter2: x")

    assert "hunter2" not in str(caught.value)


def test_read_yaml_mapping() -> None:
    """A file of parameters is a mapping, and an empty one gives none."""
    assert read_yaml_mapping("users: 5") == {"users": 5}
    assert read_yaml_mapping("# users: 5") == {}


@pytest.mark.parametrize("text", ["5", "[a]", "users"])
def test_no_mapping(text: str) -> None:
    """Parameters that are no mapping are refused."""
    with pytest.raises(ValueError, match="not a mapping"):
        read_yaml_mapping(text)
