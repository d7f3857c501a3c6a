"""A check tells what happened in its block, once, and an error of its body stays in it."""

import asyncio
import contextlib
import math
from dataclasses import dataclass
from typing import Any

import pytest

from labkit.checks import Check
from labkit.errors import Denied, UsageError
from labkit.hygiene import unwatched
from labkit.records import CheckRecord, Outcome
from labkit.skips import SkipCheck
from tests.check_pages import Page, checked, holds, record_of, said

# Outcomes -----------------------------------------------------------------------------------------


def test_passes_with_every_row_when_all_expectations_hold() -> None:
    """A passed check keeps its rows and notes, and has neither reason nor detail."""

    async def body(check: Check) -> None:
        assert check.equal([1], [1], "lists", reason="a")
        assert check.at_most(2, 2, "highest", reason="b")
        assert check.at_least(2.5, 2, "lowest", reason="c")
        check.note("seen")

    record = record_of(body)
    assert said(Outcome.PASSED, "", record)
    assert record.detail == ""
    assert [(row.label, row.expected, row.actual) for row in record.expectations] == [
        ("lists", "[1]", "[1]"),
        ("highest", "≤ 2", "2"),
        ("lowest", "≥ 2", "2.5"),
    ]
    assert record.notes == ("seen",)
    assert record.started_at == 1.5


def test_fails_with_the_first_missed_reason_and_goes_on() -> None:
    """A missed expectation does not end the body; the first one gives the reason."""

    async def body(check: Check) -> None:
        check.equal(1, 1, "right", reason="never")
        assert not check.at_most(3, 2, "high", reason="too-high")
        assert not check.at_least(math.nan, 0, "nothing", reason="not-a-number")
        assert not check.holds(
            condition=False, label="state", expected="open", actual="shut", reason="is-shut"
        )

    record = record_of(body)
    assert said(Outcome.FAILED, "too-high", record)
    assert record.detail.startswith("3 of 4 expectations did not hold; the first: high: ")
    assert [row.holds for row in record.expectations] == [True, False, False, False]
    assert record.expectations[3].actual == "shut"


def test_is_broken_when_it_compared_nothing() -> None:
    """A body that only writes notes and shows pictures has shown nothing."""

    async def body(check: Check) -> None:
        check.note("looks fine")
        check.show("a picture")

    assert said(Outcome.BROKEN, "vacuous", record_of(body))


def test_an_exception_breaks_the_check_and_stays_in_it() -> None:
    """An exception is told with its traceback, after what was expected before."""

    async def body(check: Check) -> None:
        check.equal(1, 2, "row", reason="other")
        raise LookupError("no such row")

    record = record_of(body)
    assert said(Outcome.BROKEN, "exception", record)
    assert "in body" in record.detail
    assert record.detail.rstrip().endswith("LookupError: no such row")
    assert len(record.expectations) == 1


def test_a_hostile_value_breaks_the_check() -> None:
    """A value whose comparison or text raises breaks its own check alone."""

    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise ArithmeticError("cannot compare")

        __hash__ = None  # type: ignore[assignment]  # unhashable on purpose, as arrays are

    class Shy:
        def __repr__(self) -> str:
            raise ArithmeticError("cannot tell")

    class Elementwise:
        def __eq__(self, other: object) -> Any:
            return Ambiguous()

        __hash__ = None  # type: ignore[assignment]  # unhashable on purpose, as arrays are

    class Ambiguous:
        def __bool__(self) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

    async def compare(value: object, check: Check) -> None:
        check.equal(value, 1, "value", reason="other")

    for value, told in (
        (Hostile(), "cannot compare"),
        (Shy(), "cannot tell"),
        (Elementwise(), "ambiguous"),
    ):
        record = record_of(lambda check, value=value: compare(value, check))  # type: ignore[misc]
        assert said(Outcome.BROKEN, "exception", record)
        assert told in record.detail


def test_a_judge_without_evidence_makes_unknown() -> None:
    """A judgement holds, does not hold, or says nothing, which only a failure outweighs."""

    @dataclass(frozen=True)
    class Judged:
        reason: str
        detail: str
        valid: bool | None

    async def judge(check: Check, *judgements: Judged) -> None:
        for judgement in judgements:
            assert check.judged(judgement, "history") is (judgement.valid is True)

    def judged(*judgements: Judged) -> CheckRecord:
        return record_of(lambda check: judge(check, *judgements))

    good, bad = Judged("", "ok", valid=True), Judged("stale-read", "2 of 9", valid=False)
    nothing = Judged("no-reads", "no read followed a write", valid=None)
    assert said(Outcome.PASSED, "", judged(good))
    assert said(Outcome.FAILED, "stale-read", judged(good, bad))
    assert said(Outcome.UNKNOWN, "no-reads", judged(good, nothing))
    assert judged(nothing).detail == "history: no read followed a write"
    assert said(Outcome.FAILED, "stale-read", judged(nothing, bad))


def test_a_declared_gap_skips_the_check() -> None:
    """A gap that is touched first skips, also inside a task group and past `except Exception`."""

    async def touch() -> None:
        with contextlib.suppress(Exception):
            raise SkipCheck("data", "not built yet")

    async def in_a_group(_check: Check) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(touch())

    record = record_of(lambda _check: touch())
    assert said(Outcome.SKIPPED, "lacks-data", record)
    assert record.detail == "the target lacks data: not built yet"
    assert said(Outcome.SKIPPED, "lacks-data", record_of(in_a_group))


def test_a_gap_that_is_touched_late_breaks_the_check() -> None:
    """What was compared, shown or doubted before a gap must not vanish behind a skip."""

    async def compared(check: Check) -> None:
        check.equal(1, 1, "one", reason="other")
        raise SkipCheck("data", "not built yet")

    async def shown(check: Check) -> None:
        check.show("a picture")
        raise SkipCheck("data", "not built yet")

    async def doubted(check: Check) -> None:
        check.unknown("no-witness", "nobody was there")
        raise SkipCheck("data", "not built yet")

    assert said(Outcome.BROKEN, "skipped-late", record_of(compared))
    assert said(Outcome.BROKEN, "skipped-late", record_of(doubted))
    assert said(Outcome.BROKEN, "skipped-late", record_of(shown))


def test_refuses_holds_for_the_right_error_and_text_only() -> None:
    """Another text or no error at all does not hold; another error breaks the check."""

    async def refused(check: Check, error: Exception | None) -> None:
        async with check.refuses(Denied, "not yours", "reading", reason="leaked"):
            if error is not None:
                raise error

    def outcome(error: Exception | None) -> CheckRecord:
        return record_of(lambda check: refused(check, error))

    assert said(Outcome.PASSED, "", outcome(Denied("this is not yours")))
    assert said(Outcome.FAILED, "leaked", outcome(Denied("try later")))
    assert said(Outcome.FAILED, "leaked", outcome(None))
    assert said(Outcome.BROKEN, "exception", outcome(OSError("not yours")))
    assert outcome(None).expectations[0].actual == "no error"
    assert outcome(None).expectations[0].expected == "Denied: …not yours…"


# Misuse -------------------------------------------------------------------------------------------


def test_refuses_what_would_always_hold() -> None:
    """A coroutine as a condition, any error at all, or no reason breaks the check, and says so."""

    async def is_gone() -> bool:
        return False

    async def body(check: Check) -> None:
        forgotten: Any = is_gone()
        with pytest.raises(UsageError, match="True or False, not <coroutine"):
            check.holds(forgotten, "gone", expected="gone", actual="there", reason="left")
        await forgotten
        with pytest.raises(UsageError, match="the one error"):
            async with check.refuses(Exception, "no", "all", reason="any"):
                pass
        with pytest.raises(UsageError, match="the one error"):
            async with check.refuses(Denied, "", "all", reason="any"):
                pass
        check.equal(1, 1, "one", reason="")

    record = record_of(body)
    assert said(Outcome.BROKEN, "exception", record)
    assert "UsageError: check name: 'one' needs a reason code" in record.detail


def test_nothing_can_be_said_outside_of_the_block() -> None:
    """What is told before or after the block would be lost, so it is an error."""
    page = Page()
    check = page.check()
    with pytest.raises(UsageError, match="'one' must be told inside its block"):
        check.equal(1, 1, "one", reason="other")

    async def main() -> None:
        async with check:
            await holds(check)

    asyncio.run(main())
    for late in (
        lambda: check.equal(1, 1, "one", reason="other"),
        lambda: check.note("late"),
        lambda: check.show("late"),
        lambda: check.unknown("late", "why"),
    ):
        with pytest.raises(UsageError, match=r"check name: .* must be told inside its block"):
            late()
    assert page.shown == []


def test_checks_neither_nest_nor_overlap() -> None:
    """A check inside another is refused, without a record and without harm to the outer one."""
    inner = Page()

    async def body(check: Check) -> None:
        with pytest.raises(UsageError, match="a check is running already"):
            await inner.check().__aenter__()
        check.equal(inner.records, [], "inner records", reason="inner-ran")
        await asyncio.Event().wait()

    record = record_of(body, deadline_s=2)
    assert said(Outcome.BROKEN, "deadline", record)
    assert record.expectations[0].holds


def test_runs_in_the_main_thread_alone() -> None:
    """Where no signal comes there is no deadline, so a check is refused there."""

    def elsewhere() -> None:
        with pytest.raises(UsageError, match="main thread"):
            record_of(holds)

    async def main() -> None:
        await asyncio.to_thread(elsewhere)

    asyncio.run(main())


@pytest.mark.parametrize("deadline_s", [0, -1, math.inf, math.nan])
def test_needs_a_real_deadline(deadline_s: float) -> None:
    """No deadline, or one that never comes, is refused."""
    with pytest.raises(UsageError, match="deadline_s must be above 0"):
        Page().check(deadline_s)


# Texts --------------------------------------------------------------------------------------------


def test_takes_secrets_out_of_everything_it_tells() -> None:
    """Labels, both sides, notes and details are redacted, also where a text is cut off."""

    async def body(check: Check) -> None:
        for label in ("hunter2-secret", "cut"):
            long = "x" * 19_993 * (label == "cut") + "hunter2-secret"
            check.equal(long, "hunter2-secret", label, reason="other")
        check.note("hunter2-secret")
        raise ValueError("hunter2-secret")

    record = record_of(body)
    assert "***" in record.detail
    assert record.notes == ("***",)
    assert "hunter2" not in repr(record)


def test_caps_what_it_tells_with_the_count() -> None:
    """A huge value is cut off in the record, which says how long it was."""

    async def body(check: Check) -> None:
        check.holds(
            condition=True, label="dump", expected="some", actual="x" * 1_000_000, reason="none"
        )
        check.note("y" * 1_000_000)

    record = record_of(body)
    assert record.expectations[0].actual.endswith("x… (1,000,000 characters)")
    assert len(record.expectations[0].actual) < 21_000
    assert len(record.notes[0]) < 21_000


def test_tells_only_valid_text() -> None:
    """Half a character, as in undecodable bytes, is written out: no frontend can encode it."""

    async def body(check: Check) -> None:
        check.holds(condition=True, label="\udcff", expected="\ud800", actual="", reason="none")

    assert record_of(body).expectations[0].label == "\\udcff"
    assert record_of(body).expectations[0].expected == "\\ud800"


# Left over ----------------------------------------------------------------------------------------


def test_a_task_left_over_breaks_the_check_and_is_ended() -> None:
    """A task that still runs is told by name and ended, unless it is the platform's."""

    async def main() -> None:
        tasks: list[asyncio.Task[bool]] = []

        async def leave(check: Check) -> None:
            await holds(check)
            tasks.append(asyncio.create_task(asyncio.Event().wait(), name="poller"))

        async def keep(check: Check) -> None:
            with unwatched():
                await leave(check)

        record = await checked(leave)
        assert said(Outcome.BROKEN, "leaked-task", record)
        assert "poller" in record.detail
        assert tasks[0].cancelled()
        assert said(Outcome.PASSED, "", await checked(keep))
        assert not tasks[1].done()

    asyncio.run(main())


def test_a_failure_in_the_background_breaks_the_check() -> None:
    """A task that is dead with its exception unread counts, although nobody awaited it."""

    async def fail() -> None:
        raise OSError("lost in the background")

    async def body(check: Check) -> None:
        await holds(check)
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    record = record_of(body)
    assert said(Outcome.BROKEN, "background-error", record)
    assert "lost in the background" in record.detail


def test_a_connection_left_open_breaks_the_check() -> None:
    """A connection must be closed inside the block."""

    async def main() -> None:
        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()

        async def body(check: Check) -> None:
            await holds(check)
            self_kept.append(await asyncio.open_connection(host, port))

        self_kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        async with server:
            record = await checked(body)
            assert said(Outcome.BROKEN, "leaked-connection", record)
            assert str(port) in record.detail
            self_kept[0][1].close()

    asyncio.run(main())
