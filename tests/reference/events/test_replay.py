"""Events of a run are read back whole, or it is said that they are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.errors import Denied, Rejected
from labkit.reference.data.store import Store
from labkit.reference.events.replay import Gone, Replay, Replayed
from labkit.reference.events.streams import Published, StreamLimits, Streams
from labkit.services.endpoints import Lease
from tests.reference.publishing import commit_events, event, new_run, streams_on
from tests.reference.stage import asynchronous, new_user, opened, witness


@asynccontextmanager
async def replay_on(
    lease: Lease, limits: StreamLimits | None = None
) -> AsyncIterator[tuple[Store, Streams, Replay]]:
    """A replay, and what it reads from."""
    async with opened(lease) as data, streams_on(lease, limits) as streams:
        yield data, streams, Replay(data, streams)


async def publish(lease: Lease, streams: Streams, user: str, run: str, count: int) -> None:
    """Do what the relay does, with so many of the run's waiting events."""
    async with witness(lease) as owner:
        rows = await owner.fetch(
            "delete from outbox where position in"
            " (select position from outbox where run_id = $1 order by position limit $2)"
            " returning position, (event->>'seq')::integer",
            run,
            count,
        )
    batch = [
        Published(event(user, seq, run), position) for position, seq in sorted(map(tuple, rows))
    ]
    await streams.publish(batch)


def seqs(replayed: Replayed) -> list[int | None]:
    """The `seq` of what was replayed."""
    return [published.event.seq for published in replayed.events]


@asynchronous
async def test_a_run_is_replayed_from_where_it_is_asked_for(installed: Lease) -> None:
    """All of it, the rest after a `seq`, or nothing when there is no more."""
    async with replay_on(installed) as (data, streams, replay):
        user = await new_user(data)
        run, other = await new_run(data, user), await new_run(data, user)
        await commit_events(data, user, run, 3)
        await commit_events(data, user, other, 2)
        await publish(installed, streams, user, run, 2)
        await publish(installed, streams, user, other, 2)
        await publish(installed, streams, user, run, 1)
        assert seqs(await replay.events(user, run, None)) == [0, 1, 2]
        assert seqs(await replay.events(user, run, 0)) == [1, 2]
        assert seqs(await replay.events(user, run, 2)) == []
        assert seqs(await replay.events(user, other, None)) == [0, 1]


@asynchronous
async def test_what_waits_in_the_outbox_is_not_gone(installed: Lease) -> None:
    """It comes when it is published, and until then the replay ends before it."""
    async with replay_on(installed) as (data, streams, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        assert seqs(await replay.events(user, run, None)) == []
        await commit_events(data, user, run, 4)
        assert seqs(await replay.events(user, run, None)) == []
        await publish(installed, streams, user, run, 3)
        assert seqs(await replay.events(user, run, 0)) == [1, 2]
        assert seqs(await replay.events(user, run, 2)) == []


@asynchronous
async def test_an_event_that_was_published_twice_is_replayed_once(installed: Lease) -> None:
    """In its place."""
    async with replay_on(installed) as (data, streams, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 3)
        await publish(installed, streams, user, run, 3)
        await streams.publish([Published(event(user, seq, run), 0) for seq in (1, 2)])
        assert seqs(await replay.events(user, run, None)) == [0, 1, 2]


@asynchronous
async def test_what_is_no_longer_kept_is_gone(installed: Lease) -> None:
    """Too many events came since; from a later place the run can still be had."""
    async with replay_on(installed, StreamLimits(events=4)) as (data, streams, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 6)
        await publish(installed, streams, user, run, 6)
        for after in (None, 0):
            with pytest.raises(Gone, match=f"run '{run}' are no longer kept"):
                await replay.events(user, run, after)
        assert seqs(await replay.events(user, run, 1)) == [2, 3, 4, 5]
        assert seqs(await replay.events(user, run, 5)) == []


@asynchronous
async def test_a_hole_is_never_replayed(installed: Lease) -> None:
    """Also when what lies behind it was published, and not yet taken out of the outbox."""
    async with replay_on(installed, StreamLimits(events=3)) as (data, streams, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 5)
        await publish(installed, streams, user, run, 3)
        await streams.publish([Published(event(user, seq, run), seq) for seq in (3, 4)])
        with pytest.raises(Gone):
            await replay.events(user, run, 0)
        assert seqs(await replay.events(user, run, 1)) == [2, 3, 4]


@asynchronous
async def test_what_has_expired_is_gone(installed: Lease) -> None:
    """Although nothing is left that would show that there had been anything."""
    async with replay_on(installed) as (data, streams, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 3)
        await publish(installed, streams, user, run, 2)
        await streams._redis.delete(streams.key(user))
        for after in (None, 0):
            with pytest.raises(Gone):
                await replay.events(user, run, after)
        assert seqs(await replay.events(user, run, 1)) == []


@asynchronous
async def test_a_place_that_a_run_has_not_come_to_is_rejected(installed: Lease) -> None:
    """Nobody can have seen it."""
    async with replay_on(installed) as (data, _, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 2)
        with pytest.raises(Rejected, match="has not come to its event 2"):
            await replay.events(user, run, 2)


@asynchronous
async def test_anothers_run_is_denied_as_one_that_does_not_exist(installed: Lease) -> None:
    """In the same words, so that they tell nothing."""
    async with replay_on(installed) as (data, streams, replay):
        owner, other = await new_user(data), await new_user(data)
        run = await new_run(data, owner)
        await commit_events(data, owner, run, 1)
        await publish(installed, streams, owner, run, 1)
        words = []
        for wanted in (run, "execution_none", "execution_\0"):
            with pytest.raises(Denied) as caught:
                await replay.events(other, wanted, None)
            words.append(str(caught.value).replace(repr(wanted), "…"))
        assert len(set(words)) == 1


@asynchronous
async def test_a_replay_says_whether_the_run_is_over(installed: Lease) -> None:
    """It is when it has ended and the last of its events was among them."""
    async with replay_on(installed) as (data, streams, replay):
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 2)
        await publish(installed, streams, user, run, 1)
        assert not (await replay.events(user, run, None)).is_over
        async with data.transaction(user) as transaction:
            await transaction.execute("update executions set status='cancelled' where id=$1", run)
        assert not (await replay.events(user, run, None)).is_over
        await publish(installed, streams, user, run, 1)
        assert (await replay.events(user, run, None)).is_over
        assert (await replay.events(user, run, 1)).is_over
