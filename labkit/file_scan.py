"""Looks for secrets in a finished file, also where JSON hides them behind escapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labkit.redaction import Finding, Redactor


def scan(path: Path, redactor: Redactor) -> tuple[Finding, ...]:
    """Where secrets stand in a file: in its text and, for JSON, in the texts that it stands for.

    Bytes that are no UTF-8 are passed over; JSON that cannot be read is searched as text alone.
    What stands in JSON unescaped is found in both. Raises `OSError` when the file cannot be read.
    """
    text = path.read_bytes().decode("utf-8", "replace")
    found = list(redactor.findings(text))
    for place, decoded in _decoded_texts(text, path.suffix):
        safe_place = redactor.text(place)
        found += [replace(finding, place=safe_place) for finding in redactor.findings(decoded)]
    return tuple(found)


def _decoded_texts(text: str, suffix: str) -> Iterator[tuple[str, str]]:
    if suffix == ".ndjson":
        for number, line in enumerate(text.split("\n")):
            yield from _texts_in(line, f"/{number}")
    elif suffix in {".ipynb", ".json"}:
        yield from _texts_in(text, "")


def _texts_in(document: str, place: str) -> Iterator[tuple[str, str]]:
    """Every text in a JSON document with its place; a list of texts is one text of many lines."""
    try:
        values = [(place, json.loads(document))]
    except (ValueError, RecursionError):
        return
    while values:
        place, value = values.pop()
        if isinstance(value, dict):
            yield from ((f"{place} (key)", key) for key in value)
            values += ((f"{place}/{key}", member) for key, member in value.items())
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            apart = "" if all(item.endswith("\n") for item in value[:-1]) else "\n"
            yield place, apart.join(value)
        elif isinstance(value, list):
            values += ((f"{place}/{number}", item) for number, item in enumerate(value))
        elif isinstance(value, str):
            yield place, value
