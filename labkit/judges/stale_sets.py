"""The stale-set race: a slow reader puts back into the cache what it read before a write.

A reader and a writer of one row are interleaved in every possible order, with a cold cache and with
a warm one. Beside the platform's own way of caching stand the textbook's, for which it is known how
often they go wrong: they show that the race is looked for where it is.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Final, TypeAlias

from labkit.judges.verdict import Verdict


class Actor(enum.StrEnum):
    """Who takes a step; both work on the same row."""

    READER = "R"
    WRITER = "W"


class Strategy(enum.StrEnum):
    """A textbook's way to keep a cache in step with a database."""

    DELETE_AFTER = "write, then delete"
    DELETE_BEFORE = "delete, then write"
    DELETE_TWICE = "delete, write, delete"
    WRITE_THROUGH = "write, then set"
    CHECKED_READER = "reader's set checks the version, writer deletes"
    CHECKED_BOTH = "both sets check the version"
    LEASE = "a lease on a miss, revoked by the delete"
    NONE = "no invalidation"


@dataclass(frozen=True)
class Counts:
    """How many interleavings there are, and after how many of them the cache is stale."""

    interleavings: int
    stale: int

    def __str__(self) -> str:
        return f"{self.stale} of {self.interleavings}"


KNOWN: Final[Mapping[Strategy, Counts]] = MappingProxyType(
    {
        Strategy.DELETE_AFTER: Counts(20, 1),
        Strategy.DELETE_BEFORE: Counts(20, 8),
        Strategy.DELETE_TWICE: Counts(40, 4),
        Strategy.WRITE_THROUGH: Counts(20, 1),
        Strategy.CHECKED_READER: Counts(20, 1),
        Strategy.CHECKED_BOTH: Counts(20, 0),
        Strategy.LEASE: Counts(20, 0),
        Strategy.NONE: Counts(8, 6),
    }
)
"""What is known of each strategy, with a reader of three steps: they follow from its rules."""

SOURCE: Final = "leases: Nishtala et al., Scaling Memcache at Facebook, NSDI 2013"
"""Where the race and the remedy that works were described."""

Order: TypeAlias = tuple[Actor, ...]


def interleavings(reader_steps: int, writer_steps: int) -> Sequence[Order]:
    """All orders in which the steps of both can follow each other, each actor's own in order."""
    places = range(reader_steps + writer_steps)
    return [
        tuple(Actor.READER if place in taken else Actor.WRITER for place in places)
        for taken in combinations(places, reader_steps)
    ]


@dataclass(frozen=True)
class StaleSetHistory:
    """One interleaving as it ran, and what was left when both actors had finished."""

    is_warm: bool
    """Whether the cache had the row before."""
    steps: tuple[str, ...]
    """What was done, in order, such as `R:get`; an actor that was through skipped its rest."""
    stored: str
    """What the database holds, as the lab read it itself."""
    cached: str | None
    """What the cache gives out; None where it has nothing."""
    obstacle: str = ""
    """Why the order could not be kept to the end; empty when it was."""

    @property
    def is_stale(self) -> bool:
        """Whether the cache gives out something else than the database holds."""
        return self.cached is not None and self.cached != self.stored

    def __str__(self) -> str:
        return f"{'warm: ' if self.is_warm else ''}{' '.join(self.steps)}"


@dataclass(frozen=True)
class StaleSetTable:
    """All interleavings that were run."""

    textbook: Mapping[Strategy, Sequence[StaleSetHistory]]
    target: Sequence[StaleSetHistory]
    target_name: str
    possible: int
    """How many interleavings the target's turns allow; more than were run where they are many."""


def counted(histories: Sequence[StaleSetHistory]) -> Counts:
    """How many histories there are, and how many ended stale."""
    return Counts(len(histories), sum(history.is_stale for history in histories))


def judge_stale_sets(table: StaleSetTable) -> Verdict:
    """Whether no interleaving left the target's cache stale after the write was acknowledged.

    Reasons: `stale-set`; and unknown with `silent-control` (a textbook strategy did not go wrong as
    it is known to) or `no-interleaving` (none of the target's ran in its order to the end).
    """
    stale = [
        f"{history} leaves {history.cached!r} in the cache, and {history.stored!r} is stored"
        for history in table.target
        if history.is_stale
    ]
    kept = sum(not history.obstacle for history in table.target)
    judged = f"{len(table.target)} of {table.possible} orders of {table.target_name} were run"
    if kept < len(table.target):
        judged += f", {len(table.target) - kept} of which the target itself did not let happen"
    if stale:
        return Verdict.violated("stale-set", stale, judged=judged)
    if silent := list(_silent(table.textbook)):
        return Verdict.unknown("silent-control", f"{judged}; {'; '.join(silent)}.")
    if not kept:
        return Verdict.unknown("no-interleaving", f"{judged}: none ran in its order to the end.")
    return Verdict.sound(
        f"{judged}: none left the cache stale; {len(KNOWN)} textbook strategies went wrong exactly "
        "as often as is known."
    )


def _silent(textbook: Mapping[Strategy, Sequence[StaleSetHistory]]) -> Sequence[str]:
    """The strategies that were not seen to behave as is known."""
    found = {strategy: counted(textbook.get(strategy, ())) for strategy in KNOWN}
    return [
        f"{strategy}: {found[strategy]} were stale, {known} are known"
        for strategy, known in KNOWN.items()
        if found[strategy] != known
    ]
