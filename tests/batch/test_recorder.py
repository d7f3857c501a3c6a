"""What a run tells goes to journal and watcher alike, without secrets and in turn."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable

import pytest

from labkit.batch.recorder import NotebookObserver, Recorder
from labkit.journal import (
    CheckBegan,
    CheckEnded,
    CheckKilled,
    Ending,
    Entry,
    InfrastructureFailed,
    Journal,
    LeaseNote,
    NotebookEnded,
    NotebookStarted,
    PlannedCheck,
    PlannedNotebook,
    RunStarted,
    SecretFound,
    entry_from_line,
)
from labkit.records import CheckRecord, CheckStarted, LabClosed, Outcome
from labkit.redaction import Secret

SECRET = "kU7-xq.29Zt"


class Told:
    """A recorder with what its journal and its watcher were told."""

    def __init__(self, *secrets: str) -> None:
        self.file = io.StringIO()
        self.watched: list[Entry] = []
        self.recorder = Recorder(Journal(self.file), self.watched.append)
        self.recorder.keep_secret(map(Secret, secrets))

    @property
    def written(self) -> list[Entry]:
        """The journal, read back."""
        return [entry_from_line(line) for line in self.file.getvalue().splitlines()]


def planned(text: str) -> RunStarted:
    """A plan of one notebook that holds a text wherever its author wrote one."""
    plan = PlannedNotebook("book", f"{text}.ipynb", text, (PlannedCheck("check", text),))
    return RunStarted(1.0, "run", "0.1.0", "test", (plan,), f"-k {text}")


@pytest.mark.parametrize(
    "entry",
    [
        planned,
        lambda text: NotebookEnded(1.0, "book", Ending.CELL_ERROR, text, 3, 1.0),
        lambda text: InfrastructureFailed(1.0, text),
        lambda text: LeaseNote(1.0, text),
    ],
)
def test_captured_texts_are_masked(entry: Callable[[str], Entry]) -> None:
    """Journal and watcher get the same entry, in which a captured text has lost its secret."""
    told = Told(SECRET)
    told.recorder.record(entry(f"a {SECRET} b"))
    assert told.written == told.watched == [entry("a *** b")]


def test_own_words_stay() -> None:
    """A secret that is a word of the lab changes no name, outcome, reason or ending."""
    told = Told("deselected", "database", "lost-commit", "kernel-died", "the-check")
    entries: list[Entry] = [
        NotebookStarted(1.0, "database"),
        CheckBegan(1.0, "database", "the-check"),
        CheckEnded(1.0, "database", "the-check", Outcome.DESELECTED, "lost-commit", 1.0),
        NotebookEnded(1.0, "database", Ending.KERNEL_DIED, "", None, 1.0),
        SecretFound(1.0, "database.ipynb", "line 3"),
    ]
    for entry in entries:
        told.recorder.record(entry)
    assert told.written == told.watched == entries


def test_secrets_are_learned_as_the_run_goes_on() -> None:
    """What is kept later is masked from then on, beside what was known before."""
    told = Told(SECRET)
    told.recorder.record(LeaseNote(1.0, "lease-pass"))
    told.recorder.keep_secret([Secret("lease-pass")])
    told.recorder.record(LeaseNote(2.0, f"lease-pass {SECRET}"))
    assert [json.loads(line)["text"] for line in told.file.getvalue().splitlines()] == [
        "lease-pass",
        "*** ***",
    ]


def test_secret_that_others_keep_stays_one() -> None:
    """A given server's password may be that of each of its leases."""
    told = Told(SECRET)
    told.recorder.keep_secret([Secret(SECRET)])
    told.recorder.keep_secret([Secret("of-a-lease")])
    for _ in range(2):
        told.recorder.let_go([Secret(SECRET), Secret("of-a-lease")])
        told.recorder.keep_secret([Secret(SECRET), Secret("of-a-lease")])
    told.recorder.let_go([Secret(SECRET), Secret("of-a-lease")])
    told.recorder.record(LeaseNote(0.0, f"of-a-lease {SECRET}"))
    assert told.written == [LeaseNote(0.0, "of-a-lease ***")]


def test_threads_take_turns() -> None:
    """Entries of several threads are whole lines, in one order for journal and watcher."""
    told = Told(SECRET)

    def tell(name: str) -> None:
        for number in range(50):
            told.recorder.record(LeaseNote(float(number), name * 500))

    threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told.written) == 200
    assert told.written == told.watched


def test_records_become_entries() -> None:
    """A check's begin, end and violent end are told of its notebook; the rest stays there."""
    told = Told()
    observer = NotebookObserver("book", told.recorder)
    start = CheckStarted("one", "claim", 1.0, 30.0)
    observer.heard(start)
    observer.heard(CheckRecord("one", "claim", Outcome.FAILED, "why", "", (), (), 1.0, 2.5))
    observer.heard(LabClosed(Outcome.FAILED, 3.0))
    observer.killed(start)
    at = [entry.at for entry in told.written]
    assert at == sorted(at)
    assert told.written == [
        CheckBegan(at[0], "book", "one"),
        CheckEnded(at[1], "book", "one", Outcome.FAILED, "why", 2.5),
        CheckKilled(at[2], "book", "one", 30.0),
    ]


def test_what_opens_nothing_any_more_is_still_looked_for_at_the_end() -> None:
    """A secret that was let go is not searched in every text, but the last look knows it."""
    told = Told("kept-for-good", SECRET)
    told.recorder.let_go([Secret(SECRET)])
    told.recorder.record(LeaseNote(0.0, f"kept-for-good and {SECRET}"))
    assert told.written == [LeaseNote(0.0, f"*** and {SECRET}")]
    assert told.recorder.knowing_all().text(f"kept-for-good and {SECRET}") == "*** and ***"
