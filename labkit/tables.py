"""A table as data, as plain text and as HTML, and read back from data.

A `Table` travels in three forms at once: plain text, HTML that is readable in light and dark, and
data under `MEDIA_TYPE`, from which reports draw it in their own way. Nothing in any of them is
markup that came from a cell.
"""

from __future__ import annotations

import enum
import html
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from labkit.errors import RecordError
from labkit.records import from_json

MEDIA_TYPE: Final = "application/vnd.labkit.table+json"
"""The media type of a table as data: caption, columns, rows of cells, notes."""


class Tone(enum.StrEnum):
    """How a cell is meant; never the only sign of it, since colours do not reach everybody."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"
    MUTED = "muted"


_STYLES: Final = MappingProxyType(
    {
        Tone.GOOD: "background:rgba(46,160,67,.18)",
        Tone.BAD: "background:rgba(248,81,73,.22);font-weight:600",
        Tone.NEUTRAL: "",
        Tone.MUTED: "opacity:.6",
    }
)
_CELL: Final = "padding:.25em .6em;border:1px solid rgba(128,128,128,.4);text-align:left"


@dataclass(frozen=True)
class Cell:
    """A text with its tone; line breaks in it are kept."""

    text: str
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True)
class Table:
    """Rows of cells under a caption; a plain text is a neutral cell."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    notes: tuple[str, ...] = ()

    def _repr_mimebundle_(self, **_kinds: object) -> dict[str, Any]:
        return {
            "text/plain": self.text(),
            "text/html": self.html(),
            MEDIA_TYPE: self.to_json(),
        }

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "caption": self.caption,
            "columns": list(self.columns),
            "rows": [[_cell_json(cell) for cell in row] for row in self.rows],
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table for a terminal: columns aligned, a cell's lines joined to one."""
        lines = [self.columns, *([_line(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = [
            "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.caption, "", body[0], rule, *body[1:], *self.notes])

    def html(self) -> str:
        """The table for a page: everything escaped, styled in place, no script."""
        head = "".join(
            f'<th scope="col" style="{_CELL}">{_escaped(name)}</th>' for name in self.columns
        )
        rows = "".join(f"<tr>{''.join(map(_cell_html, row))}</tr>" for row in self.rows)
        notes = "".join(f"<p><small>{_escaped(note)}</small></p>" for note in self.notes)
        caption = f'<caption style="text-align:left">{_escaped(self.caption)}</caption>'
        return (
            '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
            f"{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}</div>"
        )


def _cell(cell: Cell | str) -> Cell:
    return Cell(cell) if isinstance(cell, str) else cell


def _line(cell: Cell | str) -> str:
    return " ".join(_cell(cell).text.split())


def _cell_json(cell: Cell | str) -> str | dict[str, str]:
    return cell if isinstance(cell, str) else {"text": cell.text, "tone": cell.tone.value}


def _cell_html(cell: Cell | str) -> str:
    made = _cell(cell)
    style = ";".join(filter(None, (_CELL, _STYLES[made.tone])))
    return f'<td style="{style}">{_escaped(made.text)}</td>'


def _escaped(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


@dataclass(frozen=True)
class _TableData:
    """A table's members as they stand in JSON."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


def table_from_json(value: object) -> Table:
    """The table that JSON values stand for, a bare text being a neutral cell.

    Raises `RecordError` when a member is missing, superfluous or of another type, or when a row has
    not one cell per column.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("rows"), list):
        raise RecordError("a table must be a JSON object with a list of rows")
    rows = [_full_cells(row) for row in value["rows"]]
    read = from_json(_TableData, {**value, "rows": rows})
    if not read.columns or any(len(row) != len(read.columns) for row in read.rows):
        raise RecordError(f"each row of a table must have one cell per column: {read.caption!r}")
    return Table(read.caption, read.columns, read.rows, read.notes)


def _full_cells(row: object) -> object:
    if not isinstance(row, list):
        return row
    return [{"text": cell, "tone": "neutral"} if isinstance(cell, str) else cell for cell in row]
