"""An executed notebook as plain values, read strictly and believed in nothing else.

Only what a report needs is read: sources, tags, outputs, and the records among them. The status
that papermill stamps on cells is not: after a dead kernel it calls every cell completed.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import NotebookError, RecordError
from labkit.records import MEDIA_TYPE, Record, record_from_json


@dataclass(frozen=True)
class Stream:
    """Text that a cell printed."""

    text: str


@dataclass(frozen=True)
class Display:
    """One output in several forms, by media type, as the notebook holds them."""

    data: Mapping[str, object]
    metadata: Mapping[str, object]

    def text(self, media_type: str) -> str | None:
        """The output's text in this form; None when it has none."""
        try:
            return _text(self.data[media_type], media_type)
        except (KeyError, NotebookError):
            return None

    def description(self, media_type: str) -> str | None:
        """The text that stands for an image (`alt` in its metadata); None when there is none."""
        about = self.metadata.get(media_type, self.metadata)
        alt = about.get("alt") if isinstance(about, Mapping) else None
        return alt if isinstance(alt, str) else None


@dataclass(frozen=True)
class Raised:
    """An exception that ended a cell."""

    name: str
    value: str
    traceback: str


Output = Stream | Display | Raised


class CellKind(enum.StrEnum):
    """What a cell holds."""

    MARKDOWN = "markdown"
    CODE = "code"
    RAW = "raw"


@dataclass(frozen=True)
class Cell:
    """One cell; `index` counts from 0."""

    index: int
    kind: CellKind
    source: str
    tags: frozenset[str]
    outputs: tuple[Output, ...]

    @property
    def raised(self) -> Raised | None:
        """The exception that ended the cell; None when it ended well or never ran."""
        return next((output for output in self.outputs if isinstance(output, Raised)), None)


@dataclass(frozen=True)
class Malformed:
    """An output that claims to be a record and is none."""

    detail: str


@dataclass(frozen=True)
class Document:
    """An executed notebook."""

    cells: tuple[Cell, ...]
    withheld: str | None
    """Where a secret was found, when this is only a note in the notebook's place."""

    def records(self) -> Iterator[tuple[Cell, Record | Malformed]]:
        """The records in the outputs, in order, each with its cell."""
        for cell in self.cells:
            for output in cell.outputs:
                if isinstance(output, Display) and MEDIA_TYPE in output.data:
                    yield cell, _record(output.data[MEDIA_TYPE])


def _record(value: object) -> Record | Malformed:
    try:
        return record_from_json(value)
    except RecordError as error:
        return Malformed(str(error))


def read_document(path: Path) -> Document:
    """The executed notebook at `path`.

    Raises `NotebookError` when the file is missing or is no notebook of format 4.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotebookError(f"{path.name} is missing from the run's folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise NotebookError(f"{path.name} cannot be read: {error}") from error
    book = _object(value, path.name)
    if book.get("nbformat") != 4:
        raise NotebookError(f"{path.name} has nbformat {book.get('nbformat')!r}; only 4 is read")
    cells = _list(book.get("cells"), f"cells of {path.name}")
    read = tuple(_cell(index, cell) for index, cell in enumerate(cells))
    return Document(cells=read, withheld=_withheld(book.get("metadata")))


def _withheld(metadata: object) -> str | None:
    ours = metadata.get("labkit") if isinstance(metadata, Mapping) else None
    note = ours.get("withheld") if isinstance(ours, Mapping) else None
    return note if isinstance(note, str) else None


def _cell(index: int, value: object) -> Cell:
    where = f"cell {index}"
    cell = _object(value, where)
    try:
        kind = CellKind(_text(cell.get("cell_type"), f"cell_type of {where}"))
    except ValueError as error:
        raise NotebookError(f"{where} is of kind {cell.get('cell_type')!r:.80}") from error
    outputs = _list(cell.get("outputs", []), f"outputs of {where}")
    return Cell(
        index=index,
        kind=kind,
        source=_text(cell.get("source"), f"source of {where}"),
        tags=_tags(_object(cell.get("metadata", {}), f"metadata of {where}")),
        outputs=tuple(_output(output, f"an output of {where}") for output in outputs),
    )


def _tags(metadata: Mapping[str, object]) -> frozenset[str]:
    tags = metadata.get("tags")
    return frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()


def _output(value: object, where: str) -> Output:
    output = _object(value, where)
    match output.get("output_type"):
        case "stream":
            return Stream(_text(output.get("text"), where))
        case "display_data" | "execute_result":
            data = _object(output.get("data"), where)
            return Display(data, _object(output.get("metadata", {}), where))
        case "error":
            name, value = _text(output.get("ename"), where), _text(output.get("evalue"), where)
            lines = [_text(line, where) for line in _list(output.get("traceback"), where)]
            return Raised(name, value, "\n".join(lines))
        case other:
            raise NotebookError(f"{where} is of kind {other!r:.80}")


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise NotebookError(f"{what} is {value!r:.80}, not a JSON object")
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise NotebookError(f"{what} is {value!r:.80}, not a list")
    return value


def _text(value: object, what: str) -> str:
    """A text, which a notebook holds as one string or as a list of lines."""
    lines = [line for line in _lines(value) if isinstance(line, str)]
    if len(lines) != len(_lines(value)):
        raise NotebookError(f"{what} is {value!r:.80}, not text")
    return "".join(lines)


def _lines(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
