"""Run folders made by hand: an executed notebook and a journal, each entry as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.journal import (
    Ending,
    Entry,
    NotebookEnded,
    PlannedCheck,
    PlannedNotebook,
    RunEnded,
    RunStarted,
    ServicesReady,
    entry_to_line,
)
from labkit.records import (
    MEDIA_TYPE,
    CheckRecord,
    CheckStarted,
    Expectation,
    LabClosed,
    LabOpened,
    Outcome,
    Record,
    ServiceVersion,
    record_to_json,
)

AT = 1_772_719_402.0
"""When the runs of these tests started: 2026-03-05 14:03:22 UTC."""

POSTGRES = ServiceVersion("postgres", "PostgreSQL", "16.4", "embedded")
REDIS = ServiceVersion("redis", "Valkey", "9.1.0", "embedded", ("kept apart by prefix alone",))
HOLDS = Expectation("threads left", "0", "0", holds=True, reason="partial-write")
MISSES = Expectation("threads left", "0", "1", holds=False, reason="partial-write")

PNG = b"\x89PNG\r\n\x1a\n and more"
"""What begins like a picture."""

OPENED = LabOpened(
    area="database_transactions",
    environment="test",
    target="labkit.reference:Platform",
    seed=7,
    lease="a1",
    services=(POSTGRES, REDIS),
    libraries=(("asyncpg", "0.31.0"), ("redis", "8.0.0")),
    opened_at=AT + 1,
)


def record(
    name: str, outcome: Outcome = Outcome.PASSED, facts: Sequence[Expectation] = (HOLDS,)
) -> CheckRecord:
    """How a check ended, with a reason where it is not green."""
    reason = "" if outcome is Outcome.PASSED else "partial-write"
    detail = "" if outcome is Outcome.PASSED else "1 row was left behind"
    return CheckRecord(
        name, f"the claim of {name}", outcome, reason, detail, tuple(facts), (), AT + 2, 0.25
    )


def started(name: str) -> CheckStarted:
    """A check's start."""
    return CheckStarted(name, f"the claim of {name}", AT + 2, 30.0)


def output(value: Record | Mapping[str, object]) -> nbformat.NotebookNode:
    """A record, or anything that claims to be one, as a cell's output."""
    data = value if isinstance(value, Mapping) else record_to_json(value)
    forms = {MEDIA_TYPE: dict(data), "text/plain": "a record"}
    made: nbformat.NotebookNode = new_output("display_data", data=forms)
    return made


def check_cell(
    name: str, outcome: Outcome = Outcome.PASSED, facts: Sequence[Expectation] = (HOLDS,)
) -> nbformat.NotebookNode:
    """The executed cell of a check that came to its end."""
    return cell(started(name), record(name, outcome, facts))


def cell(*values: Record | Mapping[str, object] | nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed code cell that wrote these records or outputs."""
    outputs = [
        value if isinstance(value, nbformat.NotebookNode) else output(value) for value in values
    ]
    source = "async with lab.check('…') as check:\n    ..."
    made: nbformat.NotebookNode = new_code_cell(source, outputs=outputs)
    return made


def display(data: Mapping[str, object], **metadata: object) -> nbformat.NotebookNode:
    """A cell that displayed one output."""
    return cell(new_output("display_data", data=dict(data), metadata=metadata))


def prose(source: str, *tags: str) -> nbformat.NotebookNode:
    """A Markdown cell."""
    made: nbformat.NotebookNode = new_markdown_cell(source, metadata={"tags": list(tags)})
    return made


def closed(outcome: Outcome) -> nbformat.NotebookNode:
    """The last cell, in which the lab closed."""
    return cell(LabClosed(outcome, AT + 3))


@dataclass
class RunFolder:
    """A run of one notebook `database`, written into `path` by `write`."""

    path: Path
    checks: tuple[str, ...] = ("rollback",)
    cells: list[nbformat.NotebookNode] | None = None
    """The cells between the opened and the closed lab; None leaves the notebook out."""
    ending: Ending | None = Ending.REACHED_THE_END
    detail: str = ""
    entries: tuple[Entry, ...] = ()
    """What else the journal holds, before the notebook's end."""
    is_closed: bool = True
    verdict: Outcome = Outcome.PASSED
    """What the lab says of itself when it closes."""
    is_ended: bool = True
    title: str = "Database transactions"
    metadata: dict[str, object] = field(default_factory=dict)

    def write(self) -> Path:
        """Write notebook and journal; return the folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.cells is not None:
            ends = [closed(self.verdict)] if self.is_closed else []
            cells = [cell(OPENED), *deepcopy(self.cells), *ends]
            book = new_notebook(cells=cells, metadata=self.metadata)
            for index, part in enumerate(book.cells):
                part.id = f"cell-{index}"
            content = nbformat.writes(book).encode(errors="backslashreplace")
            (self.path / "database.ipynb").write_bytes(content)
        lines = [entry_to_line(entry) + "\n" for entry in self._journal()]
        (self.path / "journal.ndjson").write_text("".join(lines), encoding="utf-8")
        return self.path

    def _journal(self) -> list[Entry]:
        checks = tuple(PlannedCheck(name, f"the claim of {name}") for name in self.checks)
        plan = PlannedNotebook("database", "notebooks/database.ipynb", self.title, checks)
        entries: list[Entry] = [
            RunStarted(AT, "20260305-140322", "0.1.0", "test", (plan,)),
            ServicesReady(AT + 0.5, (POSTGRES, REDIS)),
            *self.entries,
        ]
        if self.ending is not None:
            entries.append(NotebookEnded(AT + 3, "database", self.ending, self.detail, None, 3.0))
        return [*entries, RunEnded(AT + 4)] if self.is_ended else entries
