"""Work is done to its end before a cancellation of who waits for it is passed on."""

from __future__ import annotations

import asyncio

import pytest

from labkit.undisturbed import to_its_end


async def fail() -> None:
    """Work that goes wrong."""
    raise OSError("it went wrong")


def test_nothing_is_passed_on_where_nobody_was_cancelled() -> None:
    """Neither a cancellation, nor the error of the work, which its task holds."""

    async def wait() -> None:
        assert await to_its_end(asyncio.create_task(asyncio.sleep(0))) is None
        failing = asyncio.create_task(fail())
        assert await to_its_end(failing) is None
        with pytest.raises(OSError, match="it went wrong"):
            failing.result()

    asyncio.run(wait())


def test_a_cancelled_work_ends_the_wait_and_is_no_cancellation_of_who_waits() -> None:
    """The two are told apart."""

    async def wait() -> None:
        work = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(work.cancel)
        assert await to_its_end(work) is None
        assert work.cancelled()

    asyncio.run(wait())


def test_however_often_who_waits_is_cancelled_the_work_ends_first() -> None:
    """The last of the cancellations is what is passed on."""

    async def cancel() -> None:
        go_on = asyncio.Event()
        work = asyncio.create_task(go_on.wait())
        waiting = asyncio.create_task(to_its_end(work))
        for number in range(3):
            await asyncio.sleep(0)
            waiting.cancel(str(number))
        await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        cancelled = await waiting
        assert cancelled is not None
        assert cancelled.args == ("2",)
        assert work.result() is True

    asyncio.run(cancel())
