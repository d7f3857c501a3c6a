"""Runs that go on by themselves, and whose events are asked for again."""

from __future__ import annotations

import pytest

from labkit.errors import Denied, Rejected
from labkit.events import Event, EventType
from labkit.reference import InKernel
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user


async def attached(target: InKernel, user: str, run: str, after: int | None = None) -> list[Event]:
    """All events of a run after a `seq`."""
    return [event async for event in target.notifications.attach(user, run, after)]


@asynchronous
async def test_a_submitted_run_is_told_to_whoever_attaches(installed: Lease) -> None:
    """While it works and after it, from the first event or from any, up to the end."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        run = await target.notifications.submit(user, thread, "slow 0.3")
        live = await attached(target, user, run)
        assert live[-1].type is EventType.AGENT_COMPLETED
        assert [event.seq for event in live] == list(range(len(live)))
        assert await attached(target, user, run) == live
        assert await attached(target, user, run, after=1) == live[2:]


@asynchronous
async def test_who_has_seen_the_end_is_told_nothing(installed: Lease) -> None:
    """There is nothing to wait for."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        run = await target.notifications.submit(user, thread, "hello")
        events = await attached(target, user, run)
        assert await attached(target, user, run, after=events[-1].seq) == []


@asynchronous
async def test_a_run_is_told_to_its_user_alone(installed: Lease) -> None:
    """Another is denied, in the words that are used for a run that does not exist."""
    async with InKernel(installed) as target:
        user, other = await new_user(target.data), await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        run = await target.notifications.submit(user, thread, "hello")
        with pytest.raises(Denied) as foreign:
            await attached(target, other, run)
        with pytest.raises(Denied) as unknown:
            await attached(target, other, "run_unknown")
        assert str(foreign.value).replace(run, "run_unknown") == str(unknown.value)


@asynchronous
async def test_events_that_are_not_there_yet_cannot_be_skipped(installed: Lease) -> None:
    """A `seq` that the run has not come to is no place to go on from."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        run = await target.notifications.submit(user, thread, "hello")
        with pytest.raises(Rejected, match="has not come to"):
            await attached(target, user, run, after=1_000)


@asynchronous
async def test_the_same_message_again_gives_the_same_run(installed: Lease) -> None:
    """Its id decides, for each user by himself."""
    async with InKernel(installed) as target:
        users = [await new_user(target.data) for _ in range(2)]
        runs = []
        for user in (*users, users[0]):
            thread = await target.data.create_thread(user, "mine")
            runs.append(await target.notifications.send(user, thread, "hello", message="m1"))
        assert runs[0] == runs[2] != runs[1]


@asynchronous
async def test_a_run_that_is_over_does_not_go_on(installed: Lease) -> None:
    """Asking for it is refused with the reason."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        run = await target.notifications.submit(user, thread, "hello")
        await attached(target, user, run)
        with pytest.raises(Rejected, match="completed"):
            await target.notifications.go_on(user, run)
