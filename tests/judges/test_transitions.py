"""All 36 transitions tried on platforms that lie, and rivals of whom one must win."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Final

import pytest

from labkit.judges.transitions import (
    LEGAL,
    Attempt,
    ExecutionState,
    Rivalry,
    judge_rivalry,
    judge_transitions,
)
from labkit.judges.verdict import Verdict

CREATED, ACTIVE = ExecutionState.CREATED, ExecutionState.ACTIVE
SUSPENDED, COMPLETED = ExecutionState.SUSPENDED, ExecutionState.COMPLETED
FAILED, CANCELLED = ExecutionState.FAILED, ExecutionState.CANCELLED

NINE: Final = {
    (CREATED, ACTIVE),
    (CREATED, CANCELLED),
    (ACTIVE, SUSPENDED),
    (SUSPENDED, ACTIVE),
    (ACTIVE, COMPLETED),
    (ACTIVE, FAILED),
    (ACTIVE, CANCELLED),
    (SUSPENDED, FAILED),
    (SUSPENDED, CANCELLED),
}
GOOD: Final = tuple(
    Attempt(source, target, accepted=legal, stored=target if legal else source)
    for source, target in product(ExecutionState, repeat=2)
    for legal in [(source, target) in NINE]
)
PAIRS: Final = [f"{one.source} to {one.target}" for one in GOOD]


def changed(
    source: ExecutionState, target: ExecutionState, *, accepted: bool, stored: ExecutionState
) -> tuple[Attempt, ...]:
    """The good history, but for one pair."""
    other = Attempt(source, target, accepted, stored)
    return tuple(other if (one.source, one.target) == (source, target) else one for one in GOOD)


def told(verdict: Verdict) -> tuple[bool | None, str, int]:
    """What a verdict says in short."""
    return verdict.valid, verdict.reason, verdict.count


def test_nine_transitions_are_legal() -> None:
    """The table holds the nine of the design, and ends are what nothing follows."""
    assert {(source, target) for source in LEGAL for target in LEGAL[source]} == NINE
    assert [state for state in ExecutionState if state.is_end] == [COMPLETED, FAILED, CANCELLED]


def test_a_platform_that_accepts_exactly_the_legal_ones_is_sound() -> None:
    """All pairs tried, nine accepted and stored, the rest refused without a trace."""
    verdict = judge_transitions(GOOD)

    assert {one.fault for one in GOOD} == {""}
    assert verdict.valid is True
    assert verdict.detail == (
        "36 transitions tried: 9 legal ones accepted and stored, "
        "27 illegal ones refused with the row unchanged."
    )


@pytest.mark.parametrize("good", GOOD, ids=PAIRS)
def test_each_pair_answered_the_other_way_is_seen(good: Attempt) -> None:
    """An illegal one that passes and a legal one that does not are told apart."""
    source, target = good.source, good.target
    if good.accepted:
        wrong = changed(source, target, accepted=False, stored=source)
        assert told(judge_transitions(wrong)) == (False, "legal-refused", 1)
    else:
        wrong = changed(source, target, accepted=True, stored=target)
        assert told(judge_transitions(wrong)) == (False, "illegal-accepted", 1)


@pytest.mark.parametrize("good", GOOD, ids=PAIRS)
def test_each_row_in_another_state_than_told_is_seen(good: Attempt) -> None:
    """The answer is right, and the row is not."""
    elsewhere = next(state for state in ExecutionState if state is not good.stored)
    wrong = tuple(replace(one, stored=elsewhere) if one is good else one for one in GOOD)
    verdict = judge_transitions(wrong)

    assert told(verdict) == (False, "not-stored" if good.accepted else "row-changed", 1)
    answer = "accepted" if good.accepted else "refused"
    assert verdict.first == f"{good.source} → {good.target} {answer}, then {elsewhere}"


@pytest.mark.parametrize("good", GOOD, ids=PAIRS)
def test_each_pair_that_was_not_tried_is_unknown(good: Attempt) -> None:
    """A table with a hole says nothing."""
    verdict = judge_transitions(tuple(one for one in GOOD if one is not good))

    assert told(verdict) == (None, "pair-missing", 0)
    assert verdict.detail == (
        f"1 of 36 pairs were not tried; the first: {good.source} → {good.target}."
    )


def test_nothing_tried_is_unknown() -> None:
    """No attempt is no evidence."""
    unknown = Verdict.unknown("no-attempt", "No transition was tried.")
    assert judge_transitions(()) == unknown


def test_what_is_wrong_outweighs_what_is_missing() -> None:
    """One wrong answer is told even where nothing else was tried."""
    verdict = judge_transitions((Attempt(CREATED, FAILED, accepted=True, stored=FAILED),))

    assert told(verdict) == (False, "illegal-accepted", 1)


def test_a_platform_that_accepts_everything_is_told_by_its_worst() -> None:
    """All illegal ones are counted; leaving an end is worse than a wrong way there."""
    verdict = judge_transitions(
        tuple(replace(one, accepted=True, stored=one.target) for one in GOOD)
    )

    assert told(verdict) == (False, "illegal-accepted", 27)
    assert verdict.detail == (
        "36 transitions tried; 27 violations; "
        "the first: created → created accepted, then created; "
        "the worst: completed → created accepted, then created"
    )


def test_one_winner_of_many_is_sound() -> None:
    """One rival of ten wins, and the row is where it took it."""
    verdict = judge_rivalry(Rivalry(ACTIVE, (False,) * 6 + (True,) + (False,) * 3, ACTIVE))

    assert verdict.valid is True
    assert verdict.detail == "10 rivals for active: one won, and the row is active."


@pytest.mark.parametrize(
    ("reason", "count", "rivalry"),
    [
        ("two-winners", 1, Rivalry(ACTIVE, (True, False, True), ACTIVE)),
        ("two-winners", 2, Rivalry(ACTIVE, (True, True, True), CREATED)),
        ("no-winner", 1, Rivalry(ACTIVE, (False, False), CREATED)),
        ("no-winner", 1, Rivalry(ACTIVE, (False, False), ACTIVE)),
        ("winner-not-stored", 1, Rivalry(ACTIVE, (False, True), CREATED)),
    ],
)
def test_a_rivalry_with_another_end_is_wrong(reason: str, count: int, rivalry: Rivalry) -> None:
    """More than one winner, none, or one that left no trace."""
    assert told(judge_rivalry(rivalry)) == (False, reason, count)


@pytest.mark.parametrize(
    ("wrong", "rivalry"),
    [
        ("every rival was refused", Rivalry(ACTIVE, (False, False), CREATED)),
        ("one won, and the row is created", Rivalry(ACTIVE, (False, True), CREATED)),
    ],
)
def test_a_rivalry_is_told_with_its_end(wrong: str, rivalry: Rivalry) -> None:
    """How many there were, what they wanted, and what came of it."""
    detail = f"2 rivals for active; 1 violation; the first: {wrong}"
    assert judge_rivalry(rivalry).detail == detail


def test_winners_beyond_the_first_are_named() -> None:
    """The example says which rival won beside which."""
    verdict = judge_rivalry(Rivalry(ACTIVE, (False, True, False, True, True), ACTIVE))

    assert verdict.detail == (
        "5 rivals for active, 3 winners; 2 violations; the first: rival 4 won beside rival 2"
    )


@pytest.mark.parametrize("accepted", [(), (True,)])
def test_fewer_than_two_rivals_are_unknown(accepted: tuple[bool, ...]) -> None:
    """Who runs alone proves nothing by winning."""
    detail = f"{len(accepted)} rivals for active: two at least are needed."
    unknown = Verdict.unknown("no-rivals", detail)
    assert judge_rivalry(Rivalry(ACTIVE, accepted, ACTIVE)) == unknown
