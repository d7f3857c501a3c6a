"""Reads of registers that are stale, made up, or older than what their session has seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from labkit.judges.registers import (
    RegisterHistory,
    RegisterRead,
    RegisterWrite,
    WriteOutcome,
    judge_registers,
    stale_reads,
)
from labkit.judges.verdict import Verdict


def write(version: int, invoked_s: float, returned_s: float, key: str = "k") -> RegisterWrite:
    """A write that was acknowledged."""
    return RegisterWrite("writer", key, version, invoked_s, returned_s)


def read(version: int | None, invoked_s: float, returned_s: float) -> RegisterRead:
    """A read of the same session by a hit."""
    return RegisterRead("reader", "k", version, invoked_s, returned_s, is_hit=True)


WRITES: Final = (write(1, 1.0, 2.0), write(2, 3.0, 4.0))
GOOD: Final = RegisterHistory(
    WRITES,
    (
        read(0, 0.0, 0.5),
        replace(read(1, 1.1, 1.2), is_hit=False),
        read(1, 2.5, 3.5),
        read(2, 5.0, 5.1),
    ),
)


def told(verdict: Verdict) -> tuple[bool | None, str, int]:
    """What a verdict says in short."""
    return verdict.valid, verdict.reason, verdict.count


def judged(*reads: RegisterRead, writes: tuple[RegisterWrite, ...] = WRITES) -> Verdict:
    """What is said of these reads."""
    return judge_registers(RegisterHistory(writes, reads))


def test_reads_that_follow_the_writes_are_sound() -> None:
    """While a write is under way, the old version may be read and the new one too."""
    verdict = judge_registers(GOOD)
    assert verdict.valid is True
    assert verdict.detail == (
        "4 reads, 3 of them hits, and 2 writes: 2 reads began after an acknowledged write."
    )


def test_a_read_older_than_what_was_acknowledged_is_stale() -> None:
    """The worst of several began longest after the acknowledgement."""
    missed = replace(read(0, 2.75, 2.8), is_hit=False)
    verdict = judged(read(1, 4.001, 4.1), read(1, 4.5, 4.6), missed, read(0, 2.25, 2.5))
    assert told(verdict) == (False, "stale-read", 4)
    assert verdict.detail == (
        "4 reads, 3 of them hits, and 2 writes; 4 violations; the first: "
        "reader read version 0 of k at 2.250 s (hit), 250.0 ms after version 1 was acknowledged; "
        "the worst: "
        "reader read version 0 of k at 2.750 s (miss), 750.0 ms after version 1 was acknowledged"
    )


@pytest.mark.parametrize(("invoked_s", "returned_s"), [(3.9, 4.5), (4.0, 4.5), (2.5, 9.0)])
def test_a_read_that_began_before_the_acknowledgement_may_be_old(
    invoked_s: float, returned_s: float
) -> None:
    """However late it returned."""
    assert judged(read(1, invoked_s, returned_s)).valid is True


def test_a_session_that_sees_a_key_go_back_is_seen() -> None:
    """Both reads lie within one write, so that neither is stale; the weaker question is silent."""
    reads = (read(2, 3.1, 3.2), read(1, 3.3, 3.4), read(2, 5.0, 5.1))
    verdict = judged(*reads)
    assert told(verdict) == (False, "went-back", 1)
    assert verdict.detail == (
        "3 reads, 3 of them hits, and 2 writes; 1 violation; the first: "
        "reader read version 1 of k at 3.300 s (hit), after the same session had read version 2"
    )
    assert judge_registers(RegisterHistory(WRITES, reads), sessions=False).valid is True


@pytest.mark.parametrize(
    ("steps_back", "reads"),
    [
        (1, (read(2, 3.1, 3.2), read(1, 3.2, 3.3))),
        (2, (read(2, 3.1, 3.2), read(1, 3.3, 3.4), read(1, 3.5, 3.6))),
        (1, (read(2, 3.1, 3.6), read(1, 3.2, 3.3), read(1, 3.7, 3.8))),
        (1, (read(2, 3.1, 3.2), read(1, 3.15, 3.3), read(1, 3.4, 3.5))),
    ],
    ids=["at once", "twice", "after one that took long", "the second time"],
)
def test_each_read_is_held_to_the_newest_that_had_ended(
    steps_back: int, reads: tuple[RegisterRead, ...]
) -> None:
    """What a session has seen is not forgotten, however many reads lie between."""
    assert told(judged(*reads)) == (False, "went-back", steps_back)


@pytest.mark.parametrize(
    "second",
    [
        replace(read(1, 3.3, 3.4), session="another"),
        replace(read(1, 3.3, 3.4), key="other"),
        read(1, 3.15, 3.4),
    ],
    ids=["of another session", "of another key", "at the same time"],
)
def test_only_what_follows_in_one_session_can_go_back(second: RegisterRead) -> None:
    """Sessions, keys and overlapping reads promise each other nothing."""
    writes = (*WRITES, write(1, 1.0, 2.0, key="other"))
    assert judged(read(2, 3.1, 3.2), second, read(2, 5.0, 5.1), writes=writes).valid is True


@pytest.mark.parametrize("made_up", [read(3, 5.0, 5.1), read(2, 2.5, 2.9), read(None, 5.0, 5.1)])
def test_a_value_that_nobody_had_begun_to_write_is_a_phantom(made_up: RegisterRead) -> None:
    """One that nobody writes, one that is written later, and one that is no version at all."""
    assert told(judged(read(1, 2.5, 2.6), made_up)) == (False, "phantom-value", 1)


def test_a_read_that_returns_as_a_write_begins_may_show_it() -> None:
    """At one moment of the clock either may have come first."""
    assert judged(read(2, 2.5, 3.0)).valid is True


def test_a_read_of_no_version_is_told_as_such() -> None:
    """Whatever the key held, it was none of its writes."""
    assert judged(read(None, 5.0, 5.1)).detail == (
        "1 reads, 1 of them hits, and 2 writes; 1 violation; "
        "the first: reader read no version of k at 5.000 s (hit)"
    )


def test_a_value_of_a_failed_write_is_a_phantom() -> None:
    """What certainly did not happen cannot be read."""
    failed = replace(write(3, 4.5, 4.6), outcome=WriteOutcome.FAILED)
    verdict = judged(read(3, 5.0, 5.1), writes=(*WRITES, failed))
    assert told(verdict) == (False, "phantom-value", 1)
    assert verdict.first == "reader read version 3 of k at 5.000 s (hit)"


@pytest.mark.parametrize("version", [2, 3])
def test_an_unknown_write_may_be_seen_and_need_not(version: int) -> None:
    """Its outcome is not known, and it may even happen after it returned."""
    unknown = replace(write(3, 4.5, 4.6), outcome=WriteOutcome.UNKNOWN)
    assert judged(read(version, 5.0, 5.1), writes=(*WRITES, unknown)).valid is True


def test_an_unknown_write_may_happen_after_newer_ones() -> None:
    """It is neither stale nor a step back when it shows late."""
    late = (replace(WRITES[0], outcome=WriteOutcome.UNKNOWN), WRITES[1])
    assert judged(read(2, 5.0, 5.1), read(1, 5.2, 5.3), writes=late).valid is True


def test_an_unknown_write_that_was_seen_does_not_go_away_again_in_a_session() -> None:
    """It has happened, once somebody has read it."""
    unknown = replace(write(3, 4.5, 4.6), outcome=WriteOutcome.UNKNOWN)
    reads = (read(3, 5.0, 5.1), read(2, 5.2, 5.3))
    assert told(judged(*reads, writes=(*WRITES, unknown))) == (False, "went-back", 1)


def test_writes_of_other_keys_are_not_due() -> None:
    """Each key has its own versions."""
    verdict = judged(read(0, 2.5, 2.6), writes=(write(1, 1.0, 2.0, key="other"),))
    assert told(verdict) == (None, "no-read-after-write", 0)


def test_each_stale_read_comes_with_the_write_that_it_ignores() -> None:
    """In the order of time; what is no version at all is older than any."""
    reads = (read(None, 5.0, 5.1), read(0, 2.5, 2.6), read(1, 2.5, 2.55), read(2, 5.0, 5.2))
    assert stale_reads(RegisterHistory(WRITES[::-1], reads)) == [
        (reads[1], WRITES[0]),
        (reads[0], WRITES[1]),
    ]


@pytest.mark.parametrize(
    "history",
    [
        RegisterHistory((), ()),
        RegisterHistory(WRITES, ()),
        RegisterHistory(WRITES, (read(0, 0.0, 0.5), read(1, 1.1, 1.2))),
        RegisterHistory((replace(WRITES[0], outcome=WriteOutcome.UNKNOWN),), (read(1, 5.0, 5.1),)),
    ],
)
def test_no_read_after_an_acknowledged_write_is_unknown(history: RegisterHistory) -> None:
    """Nothing could have been stale."""
    verdict = judge_registers(history)
    assert told(verdict) == (None, "no-read-after-write", 0)
    assert verdict.detail.endswith(
        f" {len(history.writes)} writes: "
        "no read began after a write of its key had been acknowledged."
    )
