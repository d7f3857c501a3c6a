"""Counters that lose, invent and repeat increments."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

import pytest

from labkit.judges.updates import UpdateHistory, judge_updates
from labkit.judges.verdict import Verdict

GOOD: Final = UpdateHistory(initial=10, results=(12, 11, 14, 13), final=14)


def told(verdict: Verdict) -> tuple[bool | None, str, int]:
    """What a verdict says in short."""
    return verdict.valid, verdict.reason, verdict.count


def test_a_counter_that_counts_everything_once_is_sound() -> None:
    """The answers may come in any order."""
    verdict = judge_updates(GOOD)

    assert verdict.valid is True
    assert verdict.detail == "4 increments from 10 to 14, each answered with a value of its own."


def test_a_counter_that_ends_too_low_lost_updates() -> None:
    """Two that read the same value: one of them is gone, and that is the cause of the rest."""
    verdict = judge_updates(replace(GOOD, results=(11, 11, 12, 12), final=12))

    assert told(verdict) == (False, "lost-update", 2)
    assert verdict.first == "the value ends at 12, not 14"
    assert verdict.detail == "4 increments from 10; 2 lost: the value ends at 12, not 14"


def test_a_counter_that_ends_too_high_has_phantoms() -> None:
    """Increments that nobody was told of are counted, however many."""
    verdict = judge_updates(replace(GOOD, final=10**12))

    assert told(verdict) == (False, "phantom-update", 10**12 - 14)
    assert verdict.worst == "the value ends at 1000000000000, not 14"
    assert verdict.detail == (
        "4 increments from 10; 999999999986 too many: the value ends at 1000000000000, not 14"
    )


def test_a_value_that_two_were_answered_is_seen() -> None:
    """The end is right, and yet two believe that they had the same increment."""
    verdict = judge_updates(UpdateHistory(0, (4, 4, 3, 1, 1, 1), 6))

    assert told(verdict) == (False, "duplicate-result", 2)
    assert verdict.detail == (
        "6 increments from 0 to 6; 2 violations; the first: 4 was answered 2 times; "
        "the worst: 1 was answered 3 times"
    )


@pytest.mark.parametrize("value", [10, 9, 15, -1])
def test_a_value_that_the_counter_never_had_is_seen(value: int) -> None:
    """Answers lie above the initial value and not above the final one."""
    verdict = judge_updates(replace(GOOD, results=(value, 11, 14, 13)))

    assert told(verdict) == (False, "wrong-result", 1)
    assert verdict.first == f"{value} was answered"


def test_the_wrong_result_farthest_off_is_the_worst() -> None:
    """Of two impossible answers the one farther from the beginning is the worst."""
    verdict = judge_updates(replace(GOOD, results=(20, 11, -9, 13)))

    assert told(verdict) == (False, "wrong-result", 2)
    assert verdict.detail == (
        "4 increments from 10 to 14; 2 violations; the first: 20 was answered; "
        "the worst: -9 was answered"
    )


@pytest.mark.parametrize("final", [0, 5])
def test_no_acknowledged_increment_is_unknown(final: int) -> None:
    """A counter that nobody moved proves nothing."""
    unknown = Verdict.unknown("no-update", "No increment was acknowledged.")
    assert judge_updates(UpdateHistory(0, (), final)) == unknown


@pytest.mark.parametrize("seed", range(20))
def test_a_good_history_broken_anywhere_is_told_by_its_cause(seed: int) -> None:
    """Each single change of a generated history is seen, with the reason that fits it."""
    chance = random.Random(seed)
    initial, count = chance.randint(-5, 100), chance.randint(2, 60)
    results = list(range(initial + 1, initial + count + 1))
    chance.shuffle(results)
    good = UpdateHistory(initial, tuple(results), initial + count)
    assert judge_updates(good).valid is True

    for place in range(count):
        before, rest = results[:place], results[place + 1 :]
        other = results[place - 1]
        for reason, broken in [
            ("phantom-update", replace(good, results=(*before, *rest))),
            ("lost-update", replace(good, results=(*before, other, other, *rest))),
            ("duplicate-result", replace(good, results=(*before, other, *rest))),
            ("wrong-result", replace(good, results=(*before, good.final + 1, *rest))),
        ]:
            assert (judge_updates(broken).valid, judge_updates(broken).reason) == (False, reason)
    assert told(judge_updates(replace(good, final=good.final - 1))) == (False, "lost-update", 1)
