"""The end of background tasks."""

from __future__ import annotations

import asyncio

from labkit.reference.tasks import end
from tests.reference.stage import asynchronous


@asynchronous
async def test_tasks_are_cancelled_and_waited_for() -> None:
    """With what they still have to do for their end."""
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    await end(*tasks)
    assert sorted(ended) == [0, 1, 2]
    assert all(task.cancelled() for task in tasks)


@asynchronous
async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As a driver's `wait_for` does when the cancellation comes late."""
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert lost == 2
    assert task.cancelled()


@asynchronous
async def test_what_a_task_raised_is_not_raised_again() -> None:
    """Neither what it raised before nor what it raises at its end."""

    async def failing() -> None:
        raise ValueError("before")

    async def failing_late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    tasks = [asyncio.create_task(failing()), asyncio.create_task(failing_late())]
    await asyncio.sleep(0)
    await end(*tasks)
    assert [str(task.exception()) for task in tasks] == ["before", "at the end"]


@asynchronous
async def test_without_tasks_there_is_nothing_to_end() -> None:
    """It returns at once."""
    await end()
