"""The states of an execution, which may follow which, and who wins where many want the same."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Final

from labkit.judges.verdict import Verdict


class ExecutionState(enum.StrEnum):
    """Where an execution is in its life."""

    CREATED = "created"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Whether no state may follow."""
        return not LEGAL[self]


LEGAL: Final[Mapping[ExecutionState, frozenset[ExecutionState]]] = MappingProxyType(
    {
        ExecutionState.CREATED: frozenset({ExecutionState.ACTIVE, ExecutionState.CANCELLED}),
        ExecutionState.ACTIVE: frozenset(
            {
                ExecutionState.SUSPENDED,
                ExecutionState.COMPLETED,
                ExecutionState.FAILED,
                ExecutionState.CANCELLED,
            }
        ),
        ExecutionState.SUSPENDED: frozenset(
            {ExecutionState.ACTIVE, ExecutionState.FAILED, ExecutionState.CANCELLED}
        ),
        ExecutionState.COMPLETED: frozenset(),
        ExecutionState.FAILED: frozenset(),
        ExecutionState.CANCELLED: frozenset(),
    }
)
"""The nine legal transitions; all others are illegal, the same state again too."""


@dataclass(frozen=True)
class Attempt:
    """One transition that was tried, from a state in which the row really was."""

    source: ExecutionState
    target: ExecutionState
    accepted: bool
    stored: ExecutionState
    """The state in the row afterwards, as the witness read it."""

    @property
    def is_legal(self) -> bool:
        """Whether the transition is one of the nine."""
        return self.target in LEGAL[self.source]

    @property
    def fault(self) -> str:
        """The reason code of what is wrong with the answer or the row; empty where nothing is."""
        if self.accepted and not self.is_legal:
            return "illegal-accepted"
        if not self.accepted and self.stored is not self.source:
            return "row-changed"
        if not self.accepted and self.is_legal:
            return "legal-refused"
        if self.accepted and self.stored is not self.target:
            return "not-stored"
        return ""

    def __str__(self) -> str:
        answer = "accepted" if self.accepted else "refused"
        return f"{self.source} → {self.target} {answer}, then {self.stored}"


_REASONS: Final = ("illegal-accepted", "row-changed", "legal-refused", "not-stored")


def judge_transitions(attempts: tuple[Attempt, ...]) -> Verdict:
    """Whether exactly the legal ones of all 36 pairs were accepted, and stored.

    Reasons, the first that applies: `illegal-accepted`, `row-changed` (refused, and yet the row is
    in another state), `legal-refused`, `not-stored` (accepted, and yet the row is not in the target
    state); and unknown with `no-attempt`, or with `pair-missing` where a pair was not tried. The
    worst illegal one that was accepted is one that left an end.
    """
    for reason in _REASONS:
        if wrong := [attempt for attempt in attempts if attempt.fault == reason]:
            worst = max(wrong, key=lambda attempt: attempt.source.is_end)
            texts = [str(attempt) for attempt in wrong]
            judged = f"{len(attempts)} transitions tried"
            return Verdict.violated(reason, texts, worst=str(worst), judged=judged)
    if not attempts:
        return Verdict.unknown("no-attempt", "No transition was tried.")
    tried = {(attempt.source, attempt.target) for attempt in attempts}
    untried = [pair for pair in product(ExecutionState, repeat=2) if pair not in tried]
    if untried:
        text = f"{len(untried)} of 36 pairs were not tried; the first: {' → '.join(untried[0])}."
        return Verdict.unknown("pair-missing", text)
    legal = sum(attempt.is_legal for attempt in attempts)
    return Verdict.sound(
        f"{len(attempts)} transitions tried: {legal} legal ones accepted and stored, "
        f"{len(attempts) - legal} illegal ones refused with the row unchanged."
    )


@dataclass(frozen=True)
class Rivalry:
    """Several who wanted the same transition of the same row at once."""

    target: ExecutionState
    accepted: tuple[bool, ...]
    """The answer to each rival."""
    stored: ExecutionState
    """The state in the row afterwards, as the witness read it."""


def judge_rivalry(rivalry: Rivalry) -> Verdict:
    """Whether exactly one rival won, and the row is where the winner took it.

    Reasons, the first that applies: `two-winners`, `no-winner`, `winner-not-stored`; and unknown
    with `no-rivals` where there were fewer than two.
    """
    rivals, winners = len(rivalry.accepted), sum(rivalry.accepted)
    judged = f"{rivals} rivals for {rivalry.target}"
    if rivals < 2:
        return Verdict.unknown("no-rivals", f"{judged}: two at least are needed.")
    if winners > 1:
        numbers = [number for number, won in enumerate(rivalry.accepted, 1) if won]
        texts = [f"rival {number} won beside rival {numbers[0]}" for number in numbers[1:]]
        return Verdict.violated("two-winners", texts, judged=f"{judged}, {winners} winners")
    if not winners:
        return Verdict.violated("no-winner", ["every rival was refused"], judged=judged)
    if rivalry.stored is not rivalry.target:
        text = f"one won, and the row is {rivalry.stored}"
        return Verdict.violated("winner-not-stored", [text], judged=judged)
    return Verdict.sound(f"{judged}: one won, and the row is {rivalry.stored}.")
