"""A check ends with its deadline or an interrupt, whatever its body does, and says so once."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TypeVarTuple

import pytest

from labkit.checks import Check
from labkit.records import CheckRecord, Outcome, Record
from tests.check_pages import Body, Page, checked, holds, record_of, said

_Ts = TypeVarTuple("_Ts")


def block(_check: Check) -> None:
    """Block the loop."""
    threading.Event().wait(60)


async def wait_for_ever(_check: Check) -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def block_in_a_call(check: Check) -> None:
    """Block a few frames down."""
    block(check)


async def spin(_check: Check) -> None:
    """Block without a system call."""
    while True:
        pass


async def block_in_a_child(check: Check) -> None:
    """Block in a task of the body's."""
    await asyncio.gather(wait_for_ever(check), block_in_a_call(check))


async def block_in_a_group(check: Check) -> None:
    """Block in a task whose group turns its end into a group of errors."""
    async with asyncio.TaskGroup() as group:
        group.create_task(wait_for_ever(check))
        group.create_task(block_in_a_call(check))


async def swallow_exceptions(check: Check) -> None:
    """Swallow all that is an `Exception`."""
    while True:
        with contextlib.suppress(Exception):
            await wait_for_ever(check)


async def swallow_one_cancellation(check: Check) -> None:
    """Swallow what asks to end, once."""
    try:
        await wait_for_ever(check)
    except asyncio.CancelledError:
        await wait_for_ever(check)


async def wait_longer(check: Check) -> None:
    """Wait under a timeout and a group."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(wait_for_ever(check))


async def turn_to_another_error(check: Check) -> None:
    """End with another error than the one that cut."""
    try:
        await wait_for_ever(check)
    finally:
        raise RuntimeError("cleaning up failed")


@pytest.mark.parametrize(
    "body",
    [
        wait_for_ever,
        block_in_a_call,
        spin,
        block_in_a_child,
        block_in_a_group,
        swallow_exceptions,
        swallow_one_cancellation,
        wait_longer,
        turn_to_another_error,
    ],
)
def test_a_deadline_cuts_whatever_the_body_does(body: Body) -> None:
    """Awaits and blocking code are cut, the task is as before, and the next check passes."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        record = await checked(body, deadline_s=0.05)
        assert said(Outcome.BROKEN, "deadline", record)
        first, *where = record.detail.splitlines()
        assert first == "the check did not end within its deadline of 0.05 s"
        assert f", in {body.__name__}" in "\n".join(where)
        # Before Python 3.13 a task group forgets to take back its own request.
        forgotten = body is block_in_a_group and sys.version_info < (3, 13)
        assert task.cancelling() == int(forgotten)
        assert asyncio.all_tasks() == {task}
        assert said(Outcome.PASSED, "", await checked(holds))

    handlers = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
    asyncio.run(main())
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)) == handlers


def test_what_tidies_up_after_blocking_code_may_await() -> None:
    """The cut of blocking code does not cancel the `finally` blocks that it runs through."""
    done = []

    async def body(check: Check) -> None:
        try:
            block(check)
        finally:
            await asyncio.sleep(0.01)
            done.append("tidied")

    assert said(Outcome.BROKEN, "deadline", record_of(body, deadline_s=0.05))
    assert done == ["tidied"]


def test_a_body_that_ends_with_its_deadline_is_told_once() -> None:
    """However close the alarm is to the end of the body, there is one record, and no escape."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in range(300):

            async def body(check: Check) -> None:
                await holds(check)
                await asyncio.sleep(0.001)

            record = await checked(body, deadline_s=0.0005 + number % 20 / 20_000)
            assert record.reason in {"", "deadline"}
            assert task.cancelling() == 0

    asyncio.run(main())


# Interrupts and cancellation ----------------------------------------------------------------------


def interrupted(body: Body) -> CheckRecord:
    """The record of a check that KeyboardInterrupt leaves."""
    page = Page()

    async def main() -> None:
        async with page.check() as check:
            await body(check)
        pytest.fail("the interrupt was swallowed")

    with pytest.raises(KeyboardInterrupt, match="interrupted in check name"):
        asyncio.run(main())
    _, record = page.records
    assert isinstance(record, CheckRecord)
    return record


@pytest.mark.parametrize("body", [wait_for_ever, block_in_a_call, block_in_a_group])
def test_an_interrupt_is_recorded_and_goes_on(body: Body) -> None:
    """SIGINT cuts awaits and blocking code, is recorded, and leaves as KeyboardInterrupt."""

    async def interrupt(check: Check) -> None:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
        await body(check)

    record = interrupted(interrupt)
    assert said(Outcome.BROKEN, "interrupted", record)
    assert record.detail.startswith("the check was interrupted while it ran\n")


def test_an_interrupt_while_the_check_tidies_up_is_not_lost() -> None:
    """SIGINT after the body and before the record is recorded too, after everything is ended."""

    async def body(check: Check) -> None:
        await holds(check)
        asyncio.create_task(raise_when_cancelled())  # noqa: RUF006
        await asyncio.sleep(0)

    async def raise_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    assert said(Outcome.BROKEN, "interrupted", interrupted(body))


def test_interrupts_outside_of_a_check_reach_the_handler_before() -> None:
    """Before and after a check, SIGINT is what it was."""
    rung: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: rung.append(number))
    try:
        os.kill(os.getpid(), signal.SIGINT)
        record = record_of(holds)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert record.outcome is Outcome.PASSED
    assert rung == [signal.SIGINT] * 2


def test_a_task_is_never_cut_outside_of_its_coroutine() -> None:
    """An interrupt while the loop puts the task back in its queue does not lose the task."""

    class Loop(asyncio.SelectorEventLoop):
        interrupts = 0

        def call_soon(
            self,
            callback: Callable[[*_Ts], object],
            *args: *_Ts,
            context: Context | None = None,
        ) -> asyncio.Handle:
            while self.interrupts:
                self.interrupts -= 1
                os.kill(os.getpid(), signal.SIGINT)
            return super().call_soon(callback, *args, context=context)

    async def main(page: Page) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        async with page.check():
            loop.interrupts = 3
            await asyncio.sleep(0)

    page = Page()
    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main(page))
    assert isinstance(page.records[1], CheckRecord)
    assert said(Outcome.BROKEN, "interrupted", page.records[1])


@contextlib.contextmanager
def rain_of_interrupts() -> Iterator[None]:
    """SIGINT again and again, for a handler that ignores it outside of checks."""
    stop = threading.Event()
    main_thread = threading.get_ident()

    def rain() -> None:
        while not stop.wait(0.0002):
            signal.pthread_kill(main_thread, signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    thread = threading.Thread(target=rain)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


def test_interrupts_at_any_moment_end_a_check_in_one_way() -> None:
    """Interrupts rain on checks: whenever they strike, there is one record, and no other end."""

    async def outcome(page: Page, waits: int) -> str:
        try:
            async with page.check() as check:
                sum(range(1_000))
                for _ in range(waits):
                    await asyncio.sleep(0.0002)
                await holds(check)
        except KeyboardInterrupt:
            return "interrupted"
        return ""

    async def main() -> set[str]:
        seen = set()
        for number in range(200):
            page = Page()
            told = await outcome(page, waits=number % 3)
            seen.add(told)
            _, record = page.records
            assert isinstance(record, CheckRecord)
            assert record.reason in {"", told}  # the last moment is after the decision
        return seen

    with rain_of_interrupts():
        assert "interrupted" in asyncio.run(main())


def test_a_cancellation_from_outside_is_recorded_and_goes_on() -> None:
    """Who cancels the task of a check gets his cancellation, before and after the body's end."""

    async def tidy_slowly(check: Check) -> None:
        await holds(check)

        async def resist() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancel()
                await asyncio.Event().wait()

        asyncio.create_task(resist())  # noqa: RUF006
        await asyncio.sleep(0)

    def cancel() -> None:
        tasks[-1].cancel()

    async def wait(_check: Check) -> None:
        cancel()
        await asyncio.Event().wait()

    async def main(body: Body, page: Page) -> None:
        async with page.check() as check:
            await body(check)
        pytest.fail("the cancellation was swallowed")

    async def cancelled(body: Body) -> Record:
        page = Page()
        tasks.append(asyncio.create_task(main(body, page)))
        await asyncio.wait(tasks)
        assert tasks[-1].cancelled()
        return page.records[1]

    tasks: list[asyncio.Task[None]] = []
    for body in (wait, tidy_slowly):
        record = asyncio.run(cancelled(body))
        assert isinstance(record, CheckRecord)
        assert said(Outcome.BROKEN, "cancelled", record)
        tasks.clear()


def test_a_timeout_around_checks_still_works() -> None:
    """A timeout of the caller's that strikes inside a check reaches the caller."""

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await checked(wait_for_ever)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_cancelled_part_of_the_body_is_the_checks_own_affair() -> None:
    """Awaiting a task that was cancelled is an exception of the body, and stays in it."""

    async def body(_check: Check) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task

    assert said(Outcome.BROKEN, "exception", record_of(body))


def test_an_exit_is_recorded_and_goes_on() -> None:
    """`sys.exit` in a body is not the check's to swallow."""
    page = Page()

    async def main() -> None:
        async with page.check():
            raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(main())
    assert isinstance(page.records[1], CheckRecord)
    assert page.records[1].outcome is Outcome.BROKEN
