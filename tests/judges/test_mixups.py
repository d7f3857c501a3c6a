"""Replies that reach somebody else, and orders of events that show nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from labkit.judges.mixups import Answer, MixupHistory, judge_mixup
from labkit.judges.verdict import Verdict

GOOD: Final = MixupHistory(
    canaries={"a": "canary-a", "b": "canary-b", "c": "canary-c"},
    cancelled="a",
    obstacles=(),
    answers=(Answer("b", "canary-b"), Answer("c", "canary-c")),
)
LATE: Final = "the reply to the first request was never held"


def told(verdict: Verdict) -> tuple[bool | None, str, int]:
    """What a verdict says in short."""
    return verdict.valid, verdict.reason, verdict.count


def test_own_values_are_sound() -> None:
    """Each of those who came next has what was kept under its own key."""
    verdict = judge_mixup(GOOD)
    assert verdict.valid is True
    assert verdict.detail == (
        "2 requests after the cancelled one for a: each was answered with the value of its own key."
    )


@pytest.mark.parametrize(
    "answer",
    [Answer("b", "canary-a"), Answer("b", "canary-c"), Answer("b", None, "TypeError: canary-a")],
)
@pytest.mark.parametrize("obstacles", [(), (LATE,)])
def test_a_value_of_another_is_a_foreign_reply(answer: Answer, obstacles: tuple[str, ...]) -> None:
    """Of the cancelled request or of any other, in a value or in an error, however it came."""
    verdict = judge_mixup(replace(GOOD, answers=(answer, GOOD.answers[1]), obstacles=obstacles))
    assert told(verdict) == (False, "foreign-reply", 1)
    assert verdict.detail == (
        f"2 requests after the cancelled one for a; 1 violation; the first: {answer}"
    )


def test_an_answer_is_told_by_its_value_or_failure() -> None:
    """A reader sees what came, or what was raised instead."""
    assert str(Answer("b", "canary-a")) == "b was answered 'canary-a'"
    assert str(Answer("b", None, "TypeError: no")) == "b was answered TypeError: no"


@pytest.mark.parametrize(
    "answer",
    [Answer("b", None), Answer("b", "else"), Answer("b", None, "RuntimeError: concurrent")],
)
def test_no_own_value_is_a_lost_reply(answer: Answer) -> None:
    """Who came next pays for the cancellation, though nobody's data is shown."""
    verdict = judge_mixup(replace(GOOD, answers=(answer, GOOD.answers[1])))
    assert told(verdict) == (False, "lost-reply", 1)
    assert verdict.detail == (
        f"2 requests after the cancelled one for a; 1 violation; the first: {answer}"
    )


def test_an_order_that_was_not_kept_is_unknown() -> None:
    """What did not happen is told, and lost replies are not judged then."""
    obstacles = (LATE, "nobody waited")
    verdict = judge_mixup(replace(GOOD, obstacles=obstacles, answers=(Answer("b", None),)))
    assert told(verdict) == (None, "fault-not-applied", 0)
    assert verdict.detail == f"1 requests after the cancelled one for a: {LATE}; nobody waited."


def test_nobody_who_comes_next_is_unknown() -> None:
    """There is no one to whom the reply could go."""
    verdict = judge_mixup(replace(GOOD, answers=()))
    assert told(verdict) == (None, "fault-not-applied", 0)
    assert verdict.detail == "0 requests after the cancelled one for a: nobody came next."
