"""A cache that gives out what was overwritten, and controls that do not show that it would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from labkit.judges.stale_sets import (
    KNOWN,
    Actor,
    StaleSetHistory,
    StaleSetTable,
    Strategy,
    counted,
    interleavings,
    judge_stale_sets,
)

R, W = Actor
FRESH: Final = StaleSetHistory(
    is_warm=False, steps=("R:get", "W:db", "W:del", "R:db", "R:set"), stored="2", cached="2"
)
EMPTY: Final = replace(FRESH, cached=None)
STALE: Final = replace(FRESH, steps=("R:get", "R:db", "W:db", "W:del", "R:set"), cached="1")
FORBIDDEN: Final = replace(FRESH, obstacle="it waits for a lock")


def histories(interleavings: int, stale: int) -> Sequence[StaleSetHistory]:
    """So many, of which so many ended stale."""
    return [STALE] * stale + [FRESH] * (interleavings - stale)


GOOD: Final = StaleSetTable(
    textbook={one: histories(known.interleavings, known.stale) for one, known in KNOWN.items()},
    target=(FRESH, EMPTY, FORBIDDEN),
    target_name="platform",
    possible=3,
)


def test_all_orders_of_both_actors_are_there() -> None:
    """Each keeps its own order, so that two and one steps give three orders."""
    assert interleavings(2, 1) == [(R, R, W), (R, W, R), (W, R, R)]
    assert len(set(interleavings(3, 3))) == 20
    assert interleavings(0, 0) == [()]


def test_stale_is_what_differs_from_what_is_stored() -> None:
    """An empty cache is not stale, and no more is one that gives out what is stored."""
    assert [one.is_stale for one in (FRESH, EMPTY, STALE)] == [False, False, True]
    assert str(counted([FRESH, STALE])) == "1 of 2"


def test_an_order_is_told_as_it_ran() -> None:
    """A warm cache is told in front."""
    assert str(STALE) == "R:get R:db W:db W:del R:set"
    assert str(replace(STALE, is_warm=True, steps=("W:db",))) == "warm: W:db"


def test_no_stale_set_is_sound() -> None:
    """The controls went wrong as known, and the platform did not; it may forbid some orders."""
    verdict = judge_stale_sets(GOOD)
    assert verdict.valid is True
    assert verdict.detail == (
        "3 of 3 orders of platform were run, 1 of which the target itself did not let happen: none "
        "left the cache stale; 8 textbook strategies went wrong exactly as often as is known."
    )


def test_orders_that_were_all_kept_have_nothing_to_tell() -> None:
    """Only a target that stood in the way of some order is told for it."""
    verdict = judge_stale_sets(replace(GOOD, target=(FRESH, EMPTY)))
    assert verdict.detail.startswith(
        "2 of 3 orders of platform were run: none left the cache stale;"
    )


@pytest.mark.parametrize("textbook", [GOOD.textbook, {}])
def test_a_stale_set_is_violated(textbook: dict[Strategy, Sequence[StaleSetHistory]]) -> None:
    """The first is told as it ran; what was seen counts, whatever the controls say."""
    verdict = judge_stale_sets(replace(GOOD, target=(FRESH, STALE, STALE), textbook=textbook))
    assert (verdict.valid, verdict.reason, verdict.count) == (False, "stale-set", 2)
    assert verdict.detail == (
        "3 of 3 orders of platform were run; 2 violations; "
        "the first: R:get R:db W:db W:del R:set leaves '1' in the cache, and '2' is stored"
    )


@pytest.mark.parametrize("found", [(20, 0), (20, 2), (19, 1), (0, 0)])
def test_a_control_that_is_not_as_known_is_unknown(found: tuple[int, int]) -> None:
    """A race that is not there to be seen, or not in every order, says nothing of the platform."""
    textbook = {**GOOD.textbook, Strategy.DELETE_AFTER: histories(*found)}
    verdict = judge_stale_sets(replace(GOOD, textbook=textbook))
    assert (verdict.valid, verdict.reason) == (None, "silent-control")
    told = f"write, then delete: {found[1]} of {found[0]} were stale, 1 of 20 are known."
    assert verdict.detail.endswith(told)


def test_controls_that_were_not_run_are_unknown() -> None:
    """Each of them is named, with what is known of it."""
    missing = {Strategy.DELETE_AFTER, Strategy.NONE}
    textbook = {one: ran for one, ran in GOOD.textbook.items() if one not in missing}
    assert judge_stale_sets(replace(GOOD, target=(FRESH,), textbook=textbook)).detail == (
        "1 of 3 orders of platform were run; "
        "write, then delete: 0 of 0 were stale, 1 of 20 are known; "
        "no invalidation: 0 of 0 were stale, 6 of 8 are known."
    )


@pytest.mark.parametrize("target", [(), (FORBIDDEN,)])
def test_no_order_that_was_kept_is_unknown(target: tuple[StaleSetHistory, ...]) -> None:
    """A platform that was never interleaved is not judged."""
    verdict = judge_stale_sets(replace(GOOD, target=target))
    assert (verdict.valid, verdict.reason) == (None, "no-interleaving")
    assert verdict.detail.endswith(": none ran in its order to the end.")


def test_every_strategy_has_its_known_counts() -> None:
    """The folk remedies among them go wrong, and those that must not do not."""
    assert set(KNOWN) == set(Strategy)
    sound = {strategy for strategy, known in KNOWN.items() if not known.stale}
    assert sound == {Strategy.LEASE, Strategy.CHECKED_BOTH}
