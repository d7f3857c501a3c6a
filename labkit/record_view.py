"""How a record looks in its cell: HTML without scripts, all text escaped, and plain text."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from labkit.records import (
    MEDIA_TYPE,
    CheckRecord,
    CheckStarted,
    Expectation,
    LabClosed,
    LabOpened,
    Outcome,
    Record,
    record_to_json,
)

SYMBOLS: Final = {
    Outcome.PASSED: "✓",
    Outcome.SKIPPED: "○",
    Outcome.DESELECTED: "·",
    Outcome.UNKNOWN: "?",
    Outcome.FAILED: "✗",
    Outcome.BROKEN: "✗✗",
}

_LARGEST_TABLE_ROWS: Final = 50
_LONGEST_CELL_CHARS: Final = 500


def mime_bundle(record: Record) -> dict[str, Any]:
    """The record as a notebook's output: structured, HTML and plain text."""
    return {
        MEDIA_TYPE: record_to_json(record),
        "text/html": _html(record),
        "text/plain": plain_text(record),
    }


def plain_text(record: Record) -> str:
    """The record in plain text, for terminals and logs."""
    match record:
        case CheckStarted():
            return f"▶ {record.name}: {record.claim}"
        case CheckRecord():
            return "\n".join((_headline(record), *_plain_rows(record)))
        case LabOpened():
            return f"lab open: {_summary(record)}"
        case LabClosed():
            return f"lab closed: {SYMBOLS[record.outcome]} {record.outcome}"


def _headline(record: CheckRecord) -> str:
    held = sum(expectation.holds for expectation in record.expectations)
    told = f"{held} of {len(record.expectations)} expectations hold, {record.seconds:.2f} s"
    why = f" ({record.reason})" if record.reason else ""
    return f"{SYMBOLS[record.outcome]} {record.outcome}{why}: {record.name}: {told}"


def _plain_rows(record: CheckRecord) -> list[str]:
    rows = [
        f"  {_sign(row)} {_cell(row.label)}: "
        f"expected {_cell(row.expected)}, got {_cell(row.actual)}"
        for row in _most_telling(record)
    ]
    if len(rows) < len(record.expectations):
        rows.append(f"  … {len(record.expectations) - len(rows)} more rows in the record")
    detail = [f"  {_printable(line)}" for line in record.detail.splitlines()]
    return [*rows, *detail, *(f"  note: {_cell(note)}" for note in record.notes)]


def _most_telling(record: CheckRecord) -> list[Expectation]:
    """The rows for a page: those that do not hold first, and no more than fit."""
    return sorted(record.expectations, key=lambda row: row.holds)[:_LARGEST_TABLE_ROWS]


def _sign(row: Expectation) -> str:
    return "✓" if row.holds else "✗"


def _cell(text: str) -> str:
    """A text for one line of a page: what is cut off stands in the record."""
    if len(text) > _LONGEST_CELL_CHARS:
        text = f"{text[:_LONGEST_CELL_CHARS]}… ({len(text):,} characters)"
    return _printable(text)


def _printable(text: str) -> str:
    """The text with line ends, terminal controls and the like written out."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _summary(record: LabOpened) -> str:
    services = ", ".join(
        f"{service.product} {service.version} ({service.origin})" for service in record.services
    )
    told = f"{record.area}, target {record.target}, seed {record.seed}, lease {record.lease}"
    return f"{told}, on {services}"


def _html(record: Record) -> str:
    if not isinstance(record, CheckRecord):
        return f"<p>{escape(plain_text(record))}</p>"
    parts = [f"<p><strong>{escape(_headline(record))}</strong></p>", _html_table(record)]
    if record.detail:
        parts.append(f"<pre>{escape(record.detail)}</pre>")
    parts.extend(f"<p>{escape(_cell(note))}</p>" for note in record.notes)
    return "".join(parts)


def _html_table(record: CheckRecord) -> str:
    if not record.expectations:
        return ""
    telling = _most_telling(record)
    rows = "".join(map(_html_row, telling))
    more = len(record.expectations) - len(telling)
    caption = f"<caption>{more} more rows in the record</caption>" if more else ""
    head = "".join(
        f'<th scope="col" style="text-align:left">{name}</th>'
        for name in ("", "expectation", "expected", "actual")
    )
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _html_row(row: Expectation) -> str:
    told = (row.label, row.expected, row.actual)
    cells = "".join(f'<td style="text-align:left">{escape(_cell(text))}</td>' for text in told)
    return f"<tr><td>{_sign(row)}</td>{cells}</tr>"
