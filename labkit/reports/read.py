"""A run's folder, read back: the journal and the executed notebooks, made into one result."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Final, TypeVar

from labkit.errors import NotebookError, RecordError, UsageError
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
    PlannedNotebook,
    ProofStarted,
    RunCancelled,
    RunEnded,
    RunResumed,
    RunStarted,
    SecretFound,
    ServicesReady,
    read_journal,
)
from labkit.records import Outcome, ServiceVersion
from labkit.reports.covered import united
from labkit.reports.document import Document, read_document
from labkit.reports.judging import Witnessed, judge_notebook
from labkit.reports.results import NotebookResult, Problem, RunResult
from labkit.reports.texts import moment

JOURNAL: Final = "journal.ndjson"
"""The journal's name in a run's folder."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")

_E = TypeVar("_E", bound=Entry)


@dataclass(frozen=True)
class _Story:
    """The journal's entries, asked by kind."""

    entries: tuple[Entry, ...]

    def every(self, kind: type[_E]) -> list[_E]:
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def has(self, kind: type[_E]) -> bool:
        return bool(self.every(kind))

    @property
    def started(self) -> RunStarted:
        return self.every(RunStarted)[0]

    @property
    def ended_at(self) -> float:
        """The run's end; what is found in its files is noted later. Else the last sign of life."""
        return (self.every(RunEnded) or self.entries)[-1].at


def read_run(folder: Path) -> RunResult:
    """The result of the run in `folder`.

    Raises `UsageError` when the folder has no journal or the journal cannot be read. A notebook
    that is missing, unreadable or withheld is part of the result, not an error.
    """
    entries = read_entries(folder)
    story = _Story(tuple(_still_told(entries)))
    notebooks = tuple(_read_notebook(folder, plan, story) for plan in story.started.notebooks)
    problems = tuple(_problems(story))
    measured = story.every(CoverageMeasured)
    return RunResult(
        run=story.started.run,
        labkit=story.started.labkit,
        environment=story.started.environment,
        started_at=story.started.at,
        seconds=story.ended_at - story.started.at - _paused_s(entries),
        exit_code=_exit_code(story, notebooks, problems),
        services=_services(story, notebooks),
        notebooks=notebooks,
        problems=problems,
        notes=(
            *_resumptions(story),
            *_measures(story),
            *(note.text for note in story.every(LeaseNote)),
        ),
        secrets=tuple(story.every(SecretFound)),
        known=tuple(catch for told in story.every(CatchesKnown) for catch in told.catches),
        options=story.started.options,
        services_s=_first_s(entries, ServicesReady),
        begun_s=_first_s(entries, NotebookStarted),
        coverage=united(one.files for one in measured) if measured else None,
        proof=next(iter(story.every(ProofStarted)), None),
    )


def _first_s(entries: Sequence[Entry], kind: type[Entry]) -> float | None:
    """From the run's start to the first entry of a kind; None where it was resumed before."""
    before = takewhile(lambda entry: not isinstance(entry, RunResumed), entries)
    return next((one.at - entries[0].at for one in before if isinstance(one, kind)), None)


def read_outcome(folder: Path, notebook: str) -> Outcome:
    """How one notebook of a run that still goes on ended; unknown before its end."""
    story = _Story(tuple(_still_told(read_entries(folder))))
    plan = next(one for one in story.started.notebooks if one.name == notebook)
    return _read_notebook(folder, plan, story).outcome


def _still_told(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries without those that the run's being resumed later has overtaken."""
    told: list[Entry] = []
    for entry in entries:
        if isinstance(entry, RunResumed):
            told = [one for one in told if not _is_overtaken(one, entry.notebooks)]
        told.append(entry)
    yield from told


def _is_overtaken(entry: Entry, notebooks: Collection[str]) -> bool:
    match entry:
        case RunCancelled() | InfrastructureFailed() | RunEnded():
            return True
        case NotebookStarted() | CheckBegan() | CheckEnded() | CheckKilled() | NotebookEnded():
            return entry.notebook in notebooks
    return False


def _paused_s(entries: Sequence[Entry]) -> float:
    """How long nothing was done, before each time that the run was resumed."""
    pairs = pairwise(entries)
    return sum(after.at - before.at for before, after in pairs if isinstance(after, RunResumed))


def _resumptions(story: _Story) -> Iterator[str]:
    for entry in story.every(RunResumed):
        names = ", ".join(entry.notebooks)
        yield f"the run was ended early and resumed on {moment(entry.at)}, to execute {names}"


def _measures(story: _Story) -> Iterator[str]:
    """That the run's coverage is not that of all of it, where it is not."""
    parts, measured = 1 + len(story.every(RunResumed)), len(story.every(CoverageMeasured))
    if 0 < measured < parts:
        yield f"coverage was measured in {measured} of {parts} parts of the run alone"


def read_entries(folder: Path) -> tuple[Entry, ...]:
    """All entries of a run's journal; raises `UsageError` where it cannot be read."""
    try:
        entries = tuple(read_journal(folder / JOURNAL))
    except OSError as error:
        raise UsageError(
            f"{folder} has no {JOURNAL} that can be read: give the folder of a run, such as "
            f"outputs/latest"
        ) from error
    except (RecordError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the journal of {folder} is damaged ({error}): run the notebooks again"
        ) from error
    if entries and all(isinstance(entry, SecretFound) for entry in entries):
        return (_nothing_planned(folder), *entries)
    _refuse_bad_start(folder, entries)
    return entries


def _nothing_planned(folder: Path) -> RunStarted:
    """The start of a run whose journal was withheld: all that is left is that it held a secret."""
    return RunStarted(at=0.0, run=folder.name, labkit="", environment="", notebooks=())


def _refuse_bad_start(folder: Path, entries: Sequence[Entry]) -> None:
    first = entries[0] if entries else None
    if not isinstance(first, RunStarted):
        raise UsageError(f"the journal of {folder} does not begin with the start of a run")
    for plan in first.notebooks:
        if not _NAME.fullmatch(plan.name):
            raise UsageError(
                f"the journal of {folder} names a notebook {plan.name!r}: a name has letters, "
                f"digits, `_`, `-` and `.` only"
            )


def _read_notebook(folder: Path, plan: PlannedNotebook, story: _Story) -> NotebookResult:
    ended = [entry for entry in story.every(NotebookEnded) if entry.notebook == plan.name]
    began = [entry for entry in story.every(CheckBegan) if entry.notebook == plan.name]
    killed = [entry for entry in story.every(CheckKilled) if entry.notebook == plan.name]
    witnessed = Witnessed(
        ended=ended[-1] if ended else None,
        begun=frozenset(entry.check for entry in began),
        killed={entry.check: entry.deadline_s for entry in killed},
    )
    return judge_notebook(plan, _document(folder / f"{plan.name}.ipynb"), witnessed)


def _document(path: Path) -> Document | Problem:
    try:
        document = read_document(path)
    except NotebookError as error:
        reason = "unreadable-notebook" if path.exists() else "missing-notebook"
        return Problem(Outcome.UNKNOWN, reason, str(error))
    if document.withheld is not None:
        detail = f"the executed notebook held a secret and was withheld: {document.withheld}"
        return Problem(Outcome.UNKNOWN, "withheld", detail)
    return document


def _problems(story: _Story) -> Iterator[Problem]:
    for failed in story.every(InfrastructureFailed):
        yield Problem(Outcome.BROKEN, "infrastructure", failed.detail)
    for cancelled in story.every(RunCancelled):
        detail = f"the run was asked to stop ({cancelled.signal})"
        yield Problem(Outcome.UNKNOWN, "cancelled", detail)
    for secret in story.every(SecretFound):
        detail = f"{secret.file} held a secret and was replaced by a note: {secret.where}"
        yield Problem(Outcome.BROKEN, "secret", detail)
    if not story.has(RunEnded):
        yield Problem(Outcome.UNKNOWN, "cut-off", "the run was cut off before its end")


def _exit_code(
    story: _Story, notebooks: Sequence[NotebookResult], problems: Sequence[Problem]
) -> int:
    """The highest of 5, 4, 3 and 1 that applies; 0 when all is green."""
    endings = {notebook.ending for notebook in notebooks}
    if story.has(SecretFound):
        return 5
    if endings & {Ending.DEADLINE, Ending.CANCELLED} or not story.has(RunEnded):
        return 4
    if story.has(RunCancelled):
        return 4
    if endings & {Ending.NO_KERNEL, Ending.NO_LEASE} or story.has(InfrastructureFailed):
        return 3
    return 0 if _is_green(notebooks, problems) else 1


def _is_green(notebooks: Sequence[NotebookResult], problems: Sequence[Problem]) -> bool:
    """Whether all that counts is passed or skipped, and at least one check passed."""
    counted = [book.outcome for book in notebooks if book.outcome is not Outcome.DESELECTED]
    passed = any(
        check.outcome is Outcome.PASSED for notebook in notebooks for check in notebook.checks
    )
    return passed and not problems and all(outcome.is_green for outcome in counted)


def _services(story: _Story, notebooks: Sequence[NotebookResult]) -> tuple[ServiceVersion, ...]:
    """Every server that the run met, once each, in the order in which it met them."""
    met = [service for ready in story.every(ServicesReady) for service in ready.services]
    for notebook in notebooks:
        met += notebook.opened.services if notebook.opened else ()
    return tuple(dict.fromkeys(met))
