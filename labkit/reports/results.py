"""The results of a run: what the pages, JUnit and the summary are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from labkit.journal import Ending, FileCoverage, ProofStarted, SecretFound, Spent
from labkit.records import Expectation, LabOpened, Outcome, ServiceVersion, worst
from labkit.reports.document import Document
from labkit.sabotage import KnownCatch

NEVER_RAN: Final = "never-ran"
"""The reason of a check whose cell was not come to."""

NOT_SELECTED: Final = "not-selected"
"""The reason of a check that the run was not asked for."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a notebook or a run as a whole, which none of its checks tells."""

    outcome: Outcome
    reason: str
    detail: str


@dataclass(frozen=True)
class CheckResult:
    """How a check ended, as far as the evidence reaches."""

    name: str
    claim: str
    outcome: Outcome
    reason: str
    """The reason code; empty when the check passed."""
    detail: str
    expectations: tuple[Expectation, ...] = ()
    notes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """What it touched of the target, such as `data.create_user`."""
    seconds: float = 0.0
    cell: int | None = None
    """The number of the cell that wrote its record or, failing that, its start; from 0."""

    @property
    def failing(self) -> tuple[Expectation, ...]:
        """The expectations that did not hold, in their order."""
        return tuple(fact for fact in self.expectations if not fact.holds)


@dataclass(frozen=True)
class NotebookResult:
    """How a notebook ended: its checks, and what else is to be said of it."""

    name: str
    title: str
    source: str
    """Where it was read from, as the user would write it."""
    ending: Ending | None
    """None when the run was cut off before the notebook's end was noted."""
    detail: str
    """One sentence on the ending; empty when the end was reached."""
    cell: int | None
    """The number of the cell that was running when it ended early, from 0."""
    seconds: float
    opened: LabOpened | None
    checks: tuple[CheckResult, ...]
    problems: tuple[Problem, ...]
    document: Document | None
    """The executed notebook; None when it is missing, unreadable or withheld."""
    repeats: str = ""
    """The name that all its executions in this run share, where there are several; else empty."""
    spent: tuple[Spent, ...] = ()
    """Where its seconds went, as far as it came."""

    @property
    def outcome(self) -> Outcome:
        """The worst of its checks and problems."""
        checks = [check.outcome for check in self.checks]
        return worst(checks + [problem.outcome for problem in self.problems])

    @property
    def is_unfinished(self) -> bool:
        """Whether it has no result although the run was asked for it; a resumed run executes it."""
        is_asked_for = any(check.reason != NOT_SELECTED for check in self.checks)
        return is_asked_for and (self.ending is None or not self.ending.is_result)


@dataclass(frozen=True)
class RunResult:
    """A run, read back from its folder."""

    run: str
    labkit: str
    """The version of labkit that made the run."""
    environment: str
    started_at: float
    """Seconds since the epoch."""
    seconds: float
    exit_code: int
    services: tuple[ServiceVersion, ...]
    notebooks: tuple[NotebookResult, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    secrets: tuple[SecretFound, ...]
    known: tuple[KnownCatch, ...] = ()
    """What its checks were seen to catch before it began."""
    options: str = ""
    """What was asked for beside notebooks and parameters, as on the command line."""
    services_s: float | None = None
    """From the run's start until its services answered; None where it was resumed before."""
    begun_s: float | None = None
    """From the run's start until its first notebook began; None where it was resumed before."""
    coverage: tuple[FileCoverage, ...] | None = None
    """What ran of the targets' packages; None where that was not measured."""
    proof: ProofStarted | None = None
    """What it set out to prove; None for a run that proves nothing."""

    @property
    def outcome(self) -> Outcome:
        """The worst of its notebooks and problems; whether it is green, the exit code tells."""
        notebooks = [notebook.outcome for notebook in self.notebooks]
        return worst(notebooks + [problem.outcome for problem in self.problems])

    @property
    def is_green(self) -> bool:
        """Whether nothing has to be done: all passed or skipped, and at least one passed."""
        return self.exit_code == 0

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """All checks of all notebooks, in the order of the run."""
        return tuple(check for notebook in self.notebooks for check in notebook.checks)

    @property
    def unfinished(self) -> tuple[NotebookResult, ...]:
        """The notebooks that a resumed run executes."""
        return tuple(book for book in self.notebooks if book.is_unfinished)

    @property
    def opened(self) -> tuple[LabOpened, ...]:
        """What each notebook that opened its lab stands on."""
        return tuple(book.opened for book in self.notebooks if book.opened is not None)


def tally(checks: Sequence[CheckResult]) -> tuple[tuple[Outcome, int], ...]:
    """How many checks ended how, best outcome first, without those that did not occur."""
    outcomes = [check.outcome for check in checks]
    return tuple((kind, outcomes.count(kind)) for kind in Outcome if kind in outcomes)
