"""Work in a thread is over when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labkit.services.beside import beside


def test_its_result_and_its_error_come_through() -> None:
    """As from a call."""
    assert asyncio.run(beside(max, 1, 2)) == 2
    with pytest.raises(ZeroDivisionError):
        asyncio.run(beside(divmod, 1, 0))


@pytest.mark.parametrize("fails", [False, True])
def test_cancellation_waits_for_its_end(*, fails: bool) -> None:
    """However often it is asked for, and however the work ends."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(60)
        ended.set()
        if fails:
            raise OSError("it went wrong")

    async def cancel() -> None:
        working = asyncio.create_task(beside(work))
        await asyncio.to_thread(begun.wait, 60)
        for _ in range(3):
            working.cancel()
            await asyncio.sleep(0)
        assert not working.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert ended.is_set()

    asyncio.run(cancel())
