"""The words for interleaved transactions: levels, anomalies, steps, and what was observed.

A `Scenario` says who does what in which order. Running it gives a `ScheduleHistory`. Nothing in
either says how it should end: whether the anomaly showed is read from the observations alone.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Row: TypeAlias = tuple[int, int]
"""A row of a scenario's table: id and value."""


class Isolation(enum.StrEnum):
    """A transaction's isolation level, by its name in SQL."""

    READ_COMMITTED = "read committed"
    REPEATABLE_READ = "repeatable read"
    SERIALIZABLE = "serializable"


class Anomaly(enum.StrEnum):
    """What can go wrong between concurrent transactions, by Adya's short names."""

    G0 = "G0"
    G1A = "G1a"
    G1B = "G1b"
    G1C = "G1c"
    OTV = "OTV"
    PMP = "PMP"
    P4 = "P4"
    G_SINGLE = "G-single"
    G2_ITEM = "G2-item"
    G2 = "G2"


class Finding(enum.StrEnum):
    """Whether an anomaly was seen."""

    PREVENTED = "prevented"
    POSSIBLE = "possible"


class Action(enum.StrEnum):
    """What one step asks of its session."""

    BEGIN = "begin"
    READ = "read"
    WRITE = "write"
    COMMIT = "commit"
    ABORT = "abort"


@dataclass(frozen=True)
class Step:
    """One thing that one session does."""

    session: int
    """From 1."""
    action: Action
    sql: str = ""
    """The statement of a read or write; `{table}` stands for the table's name."""


@dataclass(frozen=True)
class Scenario:
    """An order of steps that brings an anomaly about where nothing prevents it."""

    anomaly: Anomaly
    title: str
    steps: tuple[Step, ...]
    shown: Callable[[ScheduleHistory], bool]
    """Whether a history *is* the anomaly."""

    @property
    def sessions(self) -> tuple[int, ...]:
        """The numbers of the sessions that take part, in ascending order."""
        return tuple(sorted({step.session for step in self.steps}))


class Ended(enum.StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its session had failed, and was rolled back, before."""
    UNFINISHED = "unfinished"
    """The schedule's deadline came first."""


@dataclass(frozen=True)
class StatementError:
    """An error that the database reported."""

    sqlstate: str
    message: str

    @property
    def is_conflict(self) -> bool:
        """Whether the database gave up this transaction for the sake of another (class 40)."""
        return self.sqlstate.startswith("40")


@dataclass(frozen=True)
class StepObservation:
    """What one step was seen to do."""

    number: int
    """Its place in the schedule, from 1."""
    session: int
    action: Action
    sql: str
    ended: Ended
    rows: tuple[Row, ...] = ()
    """What a read returned."""
    count: int = 0
    """How many rows a write touched."""
    error: StatementError | None = None
    blocked_by: tuple[int, ...] = ()
    """The sessions whose locks it was seen waiting for."""
    released_by: int | None = None
    """The number of the step after which it waited no longer."""


@dataclass(frozen=True)
class ScheduleHistory:
    """One scenario as it ran at one isolation level."""

    scenario: Scenario
    isolation: Isolation
    """The level that was asked for."""
    observations: tuple[StepObservation, ...]
    final: tuple[Row, ...] = ()
    """The table after all sessions ended, in the order of ids, as the witness read it."""
    unfinished: str = ""
    """Why the schedule did not come to its end; empty when it did."""

    @property
    def finding(self) -> Finding | None:
        """Whether the anomaly was seen; None where the history cannot tell.

        It cannot where the schedule did not come to its end, or where a statement failed for
        another reason than a conflict: a table that is missing prevents no anomaly.
        """
        errors = [seen.error for seen in self.observations if seen.error is not None]
        if self.unfinished or not all(error.is_conflict for error in errors):
            return None
        if len(self.observations) != len(self.scenario.steps):
            return None
        return Finding.POSSIBLE if self.scenario.shown(self) else Finding.PREVENTED

    def failed(self, session: int) -> bool:
        """Whether the database gave a session up; what such a one did and saw is undone."""
        return any(seen.error is not None for seen in self._of(session))

    def reads(self, session: int) -> tuple[tuple[Row, ...], ...]:
        """What each read of a session returned, in order; nothing for a session that failed."""
        seen = [] if self.failed(session) else self._of(session)
        return tuple(one.rows for one in seen if one.action is Action.READ)

    def touched(self, session: int) -> tuple[int, ...]:
        """How many rows each write of a session touched; nothing for a session that failed."""
        seen = [] if self.failed(session) else self._of(session)
        return tuple(one.count for one in seen if one.action is Action.WRITE)

    def _of(self, session: int) -> list[StepObservation]:
        return [seen for seen in self.observations if seen.session == session]
