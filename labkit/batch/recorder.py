"""The run's one way of telling: each entry goes to the journal and to who watches, without secrets.

Entries come from the run's own thread and from the engines', so they take turns.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from labkit.journal import (
    CheckBegan,
    CheckEnded,
    CheckKilled,
    Entry,
    InfrastructureFailed,
    Journal,
    LeaseNote,
    NotebookEnded,
    PlannedNotebook,
    RunStarted,
)
from labkit.records import CheckRecord, CheckStarted, Record
from labkit.redaction import Redactor, Secret


class Recorder:
    """Cleans entries of the secrets that the run knows by then, writes and shows them."""

    def __init__(self, journal: Journal, watch: Callable[[Entry], None]) -> None:
        self._journal = journal
        self._watch = watch
        self._lock = threading.Lock()
        self._ever: set[Secret] = set()
        self._live = Counter[Secret]()  # by how many they are kept
        self.redactor = Redactor(())
        """Knows the secrets of the run that are worth anything just now."""

    def keep_secret(self, secrets: Iterable[Secret]) -> None:
        """Take these values out of all that is told from now on."""
        with self._lock:
            self._live.update(secrets)
            self._ever |= self._live.keys()
            self.redactor = Redactor(self._live)

    def let_go(self, secrets: Iterable[Secret]) -> None:
        """One who kept these needs them no more; who knows all that there ever were still does.

        What is to be looked for in each text thus does not grow with the number of notebooks.
        """
        with self._lock:
            self._live -= Counter(secrets)
            self.redactor = Redactor(self._live)

    def knowing_all(self) -> Redactor:
        """Knows all secrets that the run ever had."""
        with self._lock:
            return Redactor(self._ever)

    def record(self, entry: Entry) -> None:
        """Write one entry and show it."""
        with self._lock:
            cleaned = _cleaned(entry, self.redactor)
            self._journal.write(cleaned)
            self._watch(cleaned)


def _cleaned(entry: Entry, redactor: Redactor) -> Entry:
    """The entry with its captured texts redacted, and the lab's own words as they are."""
    match entry:
        case RunStarted():
            planned = tuple(_cleaned_plan(notebook, redactor) for notebook in entry.notebooks)
            return replace(entry, notebooks=planned, options=redactor.text(entry.options))
        case NotebookEnded() | InfrastructureFailed():
            return replace(entry, detail=redactor.text(entry.detail))
        case LeaseNote():
            return replace(entry, text=redactor.text(entry.text))
        case _:
            return entry


def _cleaned_plan(notebook: PlannedNotebook, redactor: Redactor) -> PlannedNotebook:
    checks = tuple(replace(one, claim=redactor.text(one.claim)) for one in notebook.checks)
    title, source = redactor.text(notebook.title), redactor.text(notebook.source)
    return replace(notebook, title=title, source=source, checks=checks)


class NotebookObserver:
    """Turns what an engine hears from one notebook into entries."""

    def __init__(self, notebook: str, recorder: Recorder) -> None:
        self._notebook = notebook
        self._recorder = recorder

    def heard(self, record: Record) -> None:
        """Tell of a check's begin and end."""
        match record:
            case CheckStarted():
                self._recorder.record(CheckBegan(time.time(), self._notebook, record.name))
            case CheckRecord():
                told = (record.name, record.outcome, record.reason, record.seconds)
                self._recorder.record(CheckEnded(time.time(), self._notebook, *told))
            case _:
                pass  # what was opened and closed stands in the notebook

    def killed(self, check: CheckStarted) -> None:
        """Tell that the kernel is killed for this check."""
        told = (self._notebook, check.name, check.deadline_s)
        self._recorder.record(CheckKilled(time.time(), *told))
