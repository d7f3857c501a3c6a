"""JSON values, and the YAML that stands for them.

What a parameter can hold: nothing that changes on its way into a notebook or a report. YAML is read
as papermill reads it (dates stay texts), but strictly: what papermill would drop or blow up without
a word is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import yaml

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_YAML_BYTES: Final = 1_000_000
"""The longest YAML text that is read."""

_MAX_DEPTH: Final = 50


def json_value(value: object) -> JsonValue:
    """The value itself, as what it is; raises `ValueError` when JSON has no such value.

    Refused are NaN and the infinities, keys that are not texts, texts with half a surrogate pair,
    and every type that JSON does not know, such as tuples, sets, bytes and dates.
    """
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): json_value(item) for key, item in value.items()}
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"a {type(value).__name__} is not a JSON value")


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(key)
    raise ValueError(f"the key {key!r:.80} is not a text; put it in quotes")


def _text(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a surrogate pair") from error
    return text


def read_yaml(text: str) -> JsonValue:
    """The one JSON value that a YAML text stands for; an empty text is None.

    Raises `ValueError` for anything else: more than `MAX_YAML_BYTES`, malformed YAML, a key given
    twice, aliases (a few lines of them stand for gigabytes), tags, more than 50 levels, and values
    that JSON lacks. The message gives the place and never the text, which may hold a secret.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_YAML_BYTES:
        raise ValueError(f"the text is longer than {MAX_YAML_BYTES:,} bytes")
    try:
        _refuse_aliases_tags_and_depth(text)
        return json_value(yaml.load(text, Loader=_StrictLoader))  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(_place_of(error)) from error


def read_yaml_mapping(text: str) -> Mapping[str, JsonValue]:
    """The mapping that a YAML text stands for; raises `ValueError` when it is none."""
    value = read_yaml(text)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise ValueError("it is not a mapping of names to values; write lines such as 'users: 5'")


def _construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    if len(set(keys)) < len(keys):
        raise _refusal("a key is given twice in this mapping", node.start_mark)
    return loader.construct_mapping(node, deep=True)


class _StrictLoader(yaml.SafeLoader):
    """Reads no dates, as papermill does not, and refuses a key that is given twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML declares it so)
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012  (PyYAML declares it so)
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:map": _construct_mapping,
    }


def _refuse_aliases_tags_and_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:  # also because the scanner's time grows with the depth's square
            raise _refusal("it is nested too deeply", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*) are not read", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refusal("tags (!) are not read", event.start_mark)


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _place_of(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return "it holds a character that YAML does not allow"
