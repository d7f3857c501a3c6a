"""Who watches a run sees what it does: as lines in a log, as a living line on a terminal."""

from __future__ import annotations

import io
import re
from typing import get_args

import pytest
from rich.console import Console

from labkit.batch.progress import describe, progress
from labkit.journal import (
    CatchesKnown,
    CheckBegan,
    CheckEnded,
    CheckKilled,
    CoverageMeasured,
    Ending,
    Entry,
    InfrastructureFailed,
    LeaseNote,
    NotebookEnded,
    NotebookStarted,
    PlannedCheck,
    PlannedNotebook,
    ProofStarted,
    RunCancelled,
    RunEnded,
    RunResumed,
    RunStarted,
    SecretFound,
    ServicesReady,
)
from labkit.records import Outcome, ServiceVersion

CHECKS = (PlannedCheck("one", "claim"), PlannedCheck("two", "claim"))
STORY: dict[Entry, str] = {
    RunStarted(
        1.0, "run_1", "0.1.0", "test", (PlannedNotebook("book", "book.ipynb", "Book", CHECKS),)
    ): "run run_1: 1 notebook, 2 checks",
    ServicesReady(1.0, (ServiceVersion("redis", "Valkey", "9.1", "embedded"),)): (
        "services: Valkey 9.1 (embedded)"
    ),
    CatchesKnown(1.0, ()): "",
    ProofStarted(1.0, (), (), is_whole=True): "",
    NotebookStarted(1.0, "book"): "book",
    CheckBegan(1.0, "book", "one"): "",
    CheckEnded(1.0, "book", "one", Outcome.PASSED, "", 0.25): "  ✓ passed one 0.2 s",
    CheckEnded(1.0, "book", "two", Outcome.FAILED, "lost-row", 2.0): (
        "  ✗ failed (lost-row) two 2.0 s"
    ),
    CheckKilled(1.0, "book", "two", 30.0): "  two resisted its deadline of 30 s: kernel killed",
    LeaseNote(1.0, "lease a1 was not given back"): "lease a1 was not given back",
    RunCancelled(1.0, "SIGTERM"): "SIGTERM: ending the run in order",
    NotebookEnded(1.0, "book", Ending.REACHED_THE_END, "", None, 3.0): (
        "  book reached its end in 3.0 s"
    ),
    NotebookEnded(1.0, "book", Ending.KERNEL_DIED, "the kernel died in cell 3", 3, 3.0): (
        "  book: kernel-died: the kernel died in cell 3"
    ),
    NotebookEnded(1.0, "rest", Ending.DESELECTED, "book was red", None, 0.0): (
        "  rest: deselected: book was red"
    ),
    InfrastructureFailed(1.0, "PostgreSQL does not answer"): "PostgreSQL does not answer",
    SecretFound(1.0, "book.ipynb", "line 3"): "book.ipynb held a secret and was withheld",
    CoverageMeasured(1.0, ()): "",
    RunEnded(1.0): "",
    RunResumed(1.0, ("book",)): "the run goes on: 1 notebook without a result",
}
"""One entry of each kind, and the line for it; empty where it has none."""


def shown(*, terminal: bool, width: int = 100, entries: tuple[Entry, ...] = tuple(STORY)) -> str:
    """All that is written while the story is told, without the controls of a terminal."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, _environ={"TERM": "xterm"})
    with progress(console) as watch:
        for entry in entries:
            watch(entry)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())


def test_every_kind_of_entry_is_told() -> None:
    """The story of these tests leaves no kind of entry out."""
    assert {type(entry) for entry in STORY} == set(get_args(Entry))


@pytest.mark.parametrize("entry", STORY, ids=lambda entry: type(entry).__name__)
def test_a_line_for_an_entry(entry: Entry) -> None:
    """The line says what happened, and its outcome in words and sign, not by colour alone."""
    line = describe(entry)
    assert (line.plain if line else "") == STORY[entry]


def planned(name: str, selected: int, *, of: int, repeats: str = "") -> PlannedNotebook:
    """A notebook with so many checks, of which the first ones are to be executed."""
    checks = [PlannedCheck(f"check_{n}", "claim", is_selected=n < selected) for n in range(of)]
    return PlannedNotebook(name, f"{name}.ipynb", name, tuple(checks), repeats)


@pytest.mark.parametrize(
    ("notebooks", "told"),
    [
        ((planned("a", 1, of=2), planned("b", 0, of=1)), "1 of 2 notebooks, 1 of 3 checks"),
        ((planned("a", 1, of=2), planned("b", 1, of=1)), "2 notebooks, 2 of 3 checks"),
        (
            (planned("a", 1, of=1, repeats="a"), planned("a-2", 1, of=1, repeats="a")),
            "1 notebook, 1 check, 2 times each",
        ),
        ((), "0 notebooks, 0 checks"),
    ],
)
def test_head_of_a_run_counts_what_is_executed(
    notebooks: tuple[PlannedNotebook, ...], told: str
) -> None:
    """Each notebook once, however often it is repeated, and what was left out by `-k` not."""
    line = describe(RunStarted(1.0, "run_1", "0.1.0", "test", notebooks))
    assert line is not None
    assert line.plain == f"run run_1: {told}"


def test_logs_get_a_line_for_each_event() -> None:
    """Where there is no terminal, each line is written once, whole, and without controls."""
    told = shown(terminal=False, width=20)
    assert told.splitlines() == [line for line in STORY.values() if line]
    assert "\x1b" not in told


def test_terminals_show_what_is_going_on() -> None:
    """On a terminal the finished things stand above a line that names the running check."""
    told = shown(terminal=True)
    for line in filter(None, STORY.values()):
        assert line in told
    for entry, going_on in (
        (RunStarted, "starting the services"),
        (CatchesKnown, "starting the services"),
        (ProofStarted, "starting the services"),
        (NotebookStarted, "book: starting its kernel"),
        (CheckBegan, "book: one"),
    ):
        until = [type(each) for each in STORY].index(entry) + 1
        assert re.search(rf"{going_on} \d+ s", shown(terminal=True, entries=tuple(STORY)[:until]))


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_texts_are_shown_as_they_are(*, terminal: bool) -> None:
    """Markup in a text is no markup for the display."""
    note = "[red]lease[/red] [link=https://example.org]was[/link] :warning: lost"
    assert note in shown(terminal=terminal, entries=(LeaseNote(1.0, note),))
    check = CheckBegan(1.0, "[bold]book", "one[/]")
    assert ("[bold]book: one[/]" in shown(terminal=terminal, entries=(check,))) is terminal


SIDE_BY_SIDE: tuple[Entry, ...] = (
    NotebookStarted(1.0, "left"),
    NotebookStarted(1.0, "right"),
    CheckBegan(1.0, "left", "one"),
    CheckBegan(1.0, "right", "one"),
    CheckEnded(1.0, "right", "one", Outcome.PASSED, "", 0.25),
    NotebookEnded(1.0, "left", Ending.REACHED_THE_END, "", None, 3.0),
    CheckEnded(1.0, "right", "two", Outcome.PASSED, "", 0.25),
)


def test_notebooks_side_by_side_are_told_apart() -> None:
    """A check's line names its notebook while others run, and each has a living line of its own."""
    told = shown(terminal=False, entries=SIDE_BY_SIDE).splitlines()
    assert told[2:] == [
        "  ✓ passed one 0.2 s in right",
        "  left reached its end in 3.0 s",
        "  ✓ passed two 0.2 s",
    ]
    living = shown(terminal=True, entries=SIDE_BY_SIDE[:4])
    assert re.search(r"left: one \d+ s", living)
    assert re.search(r"right: one \d+ s", living)
