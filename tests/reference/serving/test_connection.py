"""One client's connection: what it is told, once and in order, and what becomes of a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection

from labkit.events import Event
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import RedisClient
from labkit.reference.events.follower import Follower, Take
from labkit.reference.events.relay import Relay, Row
from labkit.reference.events.streams import Published, StreamLimits, Streams
from labkit.reference.parts import Parts
from labkit.reference.serving.connection import ConnectionLimits
from labkit.reference.wire.frames import Resume, Submit, text_of
from labkit.services.endpoints import Lease
from labkit.targets.notifications import Notice, NoticeKind
from tests.reference.publishing import commit_events, event, new_run, streams_on, until
from tests.reference.site import Client, Site, close_of, seqs, site
from tests.reference.stage import asynchronous

NARROW = ConnectionLimits(queue_frames=20, send_s=60.0, close_s=0.5, buffer_bytes=8_192)
"""A queue that is soon full, which alone tells that a reader is too slow."""


class Forgetful(Streams):
    """Streams that keep hardly anything."""

    def __init__(
        self, redis: RedisClient, keys: KeySpace, _limits: StreamLimits | None = None
    ) -> None:
        super().__init__(redis, keys, StreamLimits(events=5))


class Twice(Relay):
    """Publishes everything twice, as one does that dies before it could forget."""

    async def publish(self, rows: Sequence[Row]) -> None:
        """Twice."""
        await super().publish(rows)
        await super().publish(rows)


class Eager(Follower):
    """Gives an event on before anybody else has had a turn."""

    @asynccontextmanager
    async def following(self, user: str, take: Take) -> AsyncIterator[None]:
        """With an event that comes at once."""
        async with super().following(user, take):
            await take(Published(event(user, None, None), position=77))
            yield


async def resumed(client: Client, run: str, after: int | None) -> list[Event]:
    """Resume a run up to its end; what came of it on this connection."""
    await client.send(Resume(run, after))
    return await client.events(run)


@asynchronous
async def test_fifty_events_come_in_order(installed: Lease) -> None:
    """Each once, on every connection of the user's, at either server."""
    async with site(installed, servers=2) as place:
        user, _ = await place.user()
        run = await new_run(place.data, user)
        async with place.client(user) as one, place.client(user, door=1) as other:
            for _ in range(10):
                await commit_events(place.data, user, run, 5)
            for client in (one, other):
                assert seqs(await client.events(run, 50)) == list(range(50))


@asynchronous
async def test_the_welcome_comes_before_any_event(installed: Lease) -> None:
    """Also before one that comes while the connection begins."""
    async with site(installed, parts=Parts(follower=Eager)) as place:
        user, _ = await place.user()
        async with place.socket(place.headers(user)) as socket:
            client = Client(socket)
            first, second = await client.next(), await client.next()
        assert isinstance(first, Notice)
        assert first.kind is NoticeKind.WELCOME
        assert isinstance(second, Event)


@asynchronous
async def test_what_is_published_twice_is_told_once(installed: Lease) -> None:
    """Events of a run and events of none."""
    async with site(installed, parts=Parts(relay=Twice)) as place:
        user, thread = await place.user()
        async with place.client(user) as client, streams_on(installed) as streams:
            for _ in range(2):
                await streams.publish([Published(event(user, None, None), position=77)])
            runs = [await client.submit(thread, "lookup the weather") for _ in range(3)]
            for run in runs:
                assert seqs(await client.events(run)) == list(range(6))
            told = [one for one in client.told if isinstance(one, Event)]
            assert len([one for one in told if one.run is None]) == 1


@asynchronous
async def test_a_run_goes_on_while_its_client_is_away(installed: Lease) -> None:
    """Cut in mid-run, it resumes at the other server, and the rest comes exactly once."""
    async with site(installed, servers=2) as place:
        user, thread = await place.user()
        async with place.client(user) as client:
            run = await client.submit(thread, "slow work")
            seen = await client.events(run, 2)
            client.socket.transport.abort()
        async with place.client(user, door=1) as client:
            rest = await resumed(client, run, seen[-1].seq)
            assert seqs([*seen, *rest]) == list(range(len(seen) + len(rest)))
            assert rest[-1].type.is_end


@asynchronous
async def test_a_run_in_its_midst_is_told_to_those_who_ask(installed: Lease) -> None:
    """A connection that came later gets none of it before, and then all that it asked for."""
    async with site(installed) as place:
        user, _ = await place.user()
        run, later = await new_run(place.data, user), await new_run(place.data, user)
        async with place.client(user) as first:
            await commit_events(place.data, user, run, 3)
            await first.events(run, 3)
            async with place.client(user) as second:
                await commit_events(place.data, user, run, 2)
                await commit_events(place.data, user, later, 1)
                await second.events(later, 1)
                assert await second.events(run, 0) == []
                await second.send(Resume(run, 1))
                notice = await second.notice(NoticeKind.RESUMED)
                assert (notice.run, notice.was_dropped) == (run, False)
                await commit_events(place.data, user, run, 1)
                assert seqs(await second.events(run, 4)) == [2, 3, 4, 5]


@asynchronous
async def test_the_replay_is_over_when_that_is_said(installed: Lease) -> None:
    """And whether the run is."""
    async with site(installed) as place:
        user, thread = await place.user()
        async with place.client(user) as client:
            run = await client.submit(thread, "hello")
            events = await client.events(run)
        async with place.client(user) as client:
            assert await resumed(client, run, None) == events
            assert (await client.notice(NoticeKind.RESUMED)).data == {"is_over": True}
            await client.send(Resume(run, events[-1].seq))
            assert (await client.notice(NoticeKind.RESUMED)).data == {"is_over": True}
            assert len(await client.events(run)) == len(events)


@asynchronous
async def test_what_is_gone_is_said_to_be(installed: Lease) -> None:
    """Explicitly; from where the run is still kept, it can be had."""
    async with site(installed, parts=Parts(streams=Forgetful)) as place:
        user, _ = await place.user()
        run = await new_run(place.data, user)
        await commit_events(place.data, user, run, 8)
        async with place.client(user) as client:
            while True:  # until the relay has been there
                await client.send(Resume(run, 2))
                await client.notice()
                if len(await kept(place, user)) == 5:
                    break
            await client.send(Resume(run, 1))
            gone = await client.notice(NoticeKind.GONE)
            assert gone.run == run
            assert "no longer kept" in gone.reason


async def kept(place: Site, user: str) -> list[Published]:
    """What is kept of the user's events."""
    async with streams_on(place.lease) as streams:
        return [published async for published in streams.events(user)]


@asynchronous
async def test_a_gap_in_the_live_stream_is_healed(installed: Lease) -> None:
    """From what is kept; what is not kept is said to be gone, and no event comes after a gap."""
    async with site(installed) as place:
        user, _ = await place.user()
        run = await new_run(place.data, user)
        async with place.client(user) as client, streams_on(installed) as streams:
            await commit_events(place.data, user, run, 1)
            await client.events(run, 1)
            # As if this process had missed 1 and 2: it is given 3 first.
            late = [Published(event(user, seq, run), 1_000 + seq) for seq in (3, 1, 2, 4)]
            await streams.publish(late)
            assert seqs(await client.events(run, 5)) == [0, 1, 2, 3, 4]
            await commit_of(place, user, run, 7)
            await streams.publish([Published(event(user, 6, run), 1_006)])
            assert (await client.notice(NoticeKind.GONE)).run == run
            assert len(await client.events(run, 5)) == 5
            await streams.publish([Published(event(user, 8, run), 1_008)])
            await client.send(Resume("execution_none"))
            await client.notice(NoticeKind.REFUSED)  # and not a second time that it is gone


async def commit_of(place: Site, user: str, run: str, next_seq: int) -> None:
    """Let a run have come to this number, with nothing in the outbox."""
    async with place.data.transaction(user) as transaction:
        await transaction.execute(
            "update executions set next_seq = $2 where id = $1", run, next_seq
        )


@asynchronous
async def test_anothers_run_is_refused_as_one_that_does_not_exist(installed: Lease) -> None:
    """In the same words; the connection goes on."""
    async with site(installed) as place:
        owner, thread = await place.user()
        other, _ = await place.user()
        async with place.client(owner) as client, place.client(other) as stranger:
            run = await client.submit(thread, "hello")
            events = await client.events(run)
            words = []
            for wanted in (run, "execution_none"):
                await stranger.send(Resume(wanted))
                refused = await stranger.notice(NoticeKind.REFUSED)
                assert (refused.run, refused.data) == (wanted, {"error": "denied"})
                words.append(refused.reason.replace(wanted, "…"))
            assert words[0] == words[1]
            await stranger.send(Resume(run, events[-1].seq, client.id))
            assert not (await stranger.notice(NoticeKind.REFUSED)).was_dropped
            assert len(stranger.told) == 4


@asynccontextmanager
async def not_reading(place: Site, user: str) -> AsyncIterator[tuple[ClientConnection, str]]:
    """A client of the user's who reads his welcome and then nothing; his connection's id."""
    async with place.socket(place.headers(user)) as socket:
        client = Client(socket)
        welcome = await client.notice(NoticeKind.WELCOME)
        socket.transport.pause_reading()
        yield socket, str(welcome.connection)
        socket.transport.resume_reading()


async def publish_much(streams: Streams, user: str, run: str, events: Iterable[int]) -> None:
    """Publish more than the buffers between server and client can hold."""
    for seq in events:
        big = event(user, seq, run, data={"text": "x" * 50_000})
        await streams.publish([Published(big, seq)])


@asynchronous
async def test_a_slow_reader_is_dropped_and_holds_up_nobody(installed: Lease) -> None:
    """Who reads gets everything; who does not is told when he comes again."""
    async with site(installed, limits=NARROW) as place, streams_on(installed) as streams:
        user, thread = await place.user()
        async with (
            place.client(user) as reader,
            not_reading(place, user) as (slow, connection),
        ):
            for told in range(0, 200, 10):  # the queue of who reads has room for so many
                await publish_much(streams, user, "big", range(told, told + 10))
                assert seqs(await reader.events("big", told + 10)) == list(range(told + 10))
            run = await reader.submit(thread, "hello")
            events = await reader.events(run)

            async def is_known() -> bool:
                await reader.send(Resume(run, events[-1].seq, connection))
                return (await reader.notice(NoticeKind.RESUMED)).was_dropped

            await until(is_known)
            await reader.send(Resume(run, events[-1].seq, reader.id))
            assert not (await reader.notice(NoticeKind.RESUMED)).was_dropped
            slow.transport.resume_reading()
            assert (await close_of(slow))[0] in {1006, 1013}


@asynchronous
async def test_a_client_that_reads_a_little_slowly_is_told_1013(installed: Lease) -> None:
    """It can still take the close frame, which says what to do."""
    patient = ConnectionLimits(queue_frames=20, close_s=15, buffer_bytes=8_192)
    async with site(installed, limits=patient) as place, streams_on(installed) as streams:
        user, _ = await place.user()
        async with not_reading(place, user) as (slow, _):
            await publish_much(streams, user, "big", range(200))
            slow.transport.resume_reading()
            code, reason = await close_of(slow)
            assert (code, "resume your runs" in reason) == (1013, True)


@asynchronous
async def test_a_client_that_takes_no_frame_for_too_long_is_dropped(installed: Lease) -> None:
    """Although its queue does not overflow."""
    hasty = ConnectionLimits(send_s=0.3, close_s=0.3, buffer_bytes=8_192)
    async with site(installed, limits=hasty) as place, streams_on(installed) as streams:
        user, _ = await place.user()
        run = await new_run(place.data, user)
        async with not_reading(place, user) as (_, connection), place.client(user) as reader:
            publishing = asyncio.create_task(publish_much(streams, user, "big", range(200)))
            await reader.events("big", 200)
            await publishing

            async def is_known() -> bool:
                await reader.send(Resume(run, None, connection))
                return (await reader.notice(NoticeKind.RESUMED)).was_dropped

            await until(is_known)


@asynchronous
async def test_a_client_that_sends_and_never_reads_is_slowed_down_alone(
    installed: Lease,
) -> None:
    """Its answers wait for it, and its own requests behind them; another's do not."""
    async with site(installed, limits=NARROW) as place:
        user, thread = await place.user()
        other, others_thread = await place.user()
        async with not_reading(place, user) as (socket, _), place.client(other) as client:
            flood = asyncio.create_task(send_many(socket, thread))
            for _ in range(3):
                await client.events(await client.submit(others_thread, "hello"))
            flood.cancel()
            await asyncio.wait([flood])
            socket.transport.abort()  # it could not even say goodbye


async def send_many(socket: ClientConnection, thread: str) -> None:
    """Send invalid messages with long ids, which are answered, without an end."""
    while True:
        await socket.send(text_of(Submit("m" * 5_000, thread, "")))


@asynchronous
async def test_a_silent_connection_is_found_out(installed: Lease) -> None:
    """One that gives no sign of life is closed; one that does may say nothing else."""
    limits = ConnectionLimits(ping_every_s=0.1, pong_within_s=3.0, close_s=0.3)
    async with site(installed, limits=limits) as place:
        user, thread = await place.user()
        async with place.client(user) as idle, not_reading(place, user) as (silent, _):

            async def is_alone() -> bool:
                return (await place.health())[1]["connections"] == 1

            await until(is_alone)
            assert await idle.events(await idle.submit(thread, "hello"))
            silent.transport.resume_reading()
            assert (await close_of(silent))[0] in {1006, 1011}


@asynchronous
async def test_a_frame_that_is_too_large_is_not_waited_for(installed: Lease) -> None:
    """A client that announces it, and then keeps the connection, is cut in time."""
    async with site(installed, limits=ConnectionLimits(close_s=0.3)) as place:
        user, _ = await place.user()
        async with place.socket(place.headers(user)) as socket:
            await socket.recv()
            socket.transport.write(b"\x81\xff" + (2**40).to_bytes(8, "big") + b"mask")
            assert (await close_of(socket))[0] == 1009
