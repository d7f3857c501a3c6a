"""Committed events leave the outbox, at least once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import TypeAlias

import asyncpg

from labkit.errors import ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.events.relay import Relay, RelayLimits, Row
from labkit.reference.events.streams import Published, Streams
from labkit.services.endpoints import Lease
from tests.reference.publishing import commit_events, event, new_run, streams_on, until
from tests.reference.stage import asynchronous, new_user, opened, witness

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def published(streams: Streams, user: str) -> list[tuple[str | None, int | None]]:
    """The run and `seq` of each of the user's published events, in order."""
    return [(one.event.run, one.event.seq) async for one in streams.events(user)]


async def all_published(streams: Streams, user: str, run: str, count: int) -> None:
    """Wait until so many events of the run were published, in order, leaving out repetitions."""
    expected = [(run, seq) for seq in range(count)]

    async def are_there() -> bool:
        return len(set(await published(streams, user))) >= count

    await until(are_there)
    assert list(dict.fromkeys(await published(streams, user))) == expected


@asynchronous
async def test_what_was_committed_is_published_in_order_and_forgotten(installed: Lease) -> None:
    """Events from before the relay began, and those that call it."""
    async with opened(installed) as data, streams_on(installed) as streams:
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 25)
        async with (
            Relay(installed.platform_url, streams, RelayLimits(batch=10)),
            witness(installed) as owner,
        ):
            await all_published(streams, user, run, 25)
            for _ in range(5):
                await commit_events(data, user, run, 1)
            await all_published(streams, user, run, 30)
            assert len(await published(streams, user)) == 30

            async def is_empty() -> bool:
                return not await owner.fetchval(
                    "select count(*) from outbox where user_id = $1", user
                )

            await until(is_empty)


@asynchronous
async def test_a_relay_is_called_by_the_commit(installed: Lease) -> None:
    """It does not wait for its next look, which here would come after the test's end."""
    async with opened(installed) as data, streams_on(installed) as streams:
        user = await new_user(data)
        run = await new_run(data, user)
        relay = Relay(installed.platform_url, streams, RelayLimits(look_s=600.0))
        async with relay:
            await leading(relay)
            for count in range(1, 6):
                await commit_events(data, user, run, 1)
                await all_published(streams, user, run, count)


@asynchronous
async def test_what_rolls_back_is_never_published(installed: Lease) -> None:
    """An event leaves only after its commit."""
    async with opened(installed) as data, streams_on(installed) as streams:
        user = await new_user(data)
        run = await new_run(data, user)
        async with Relay(installed.platform_url, streams):
            with suppress(_Undone):
                async with data.transaction(user) as transaction:
                    await transaction.execute(
                        "insert into outbox (user_id, run_id, event) values ($1, $2, $3)",
                        user,
                        run,
                        event(user, 7, run).to_json(),
                    )
                    raise _Undone
            await commit_events(data, user, run, 2)
            await all_published(streams, user, run, 2)


@asynchronous
async def test_the_message_that_an_end_answers_is_notified(installed: Lease) -> None:
    """When its event has been published, its last stage is written down, once."""
    async with opened(installed) as data, streams_on(installed) as streams:
        user = await new_user(data)
        run = await new_run(data, user)
        async with Relay(installed.platform_url, streams), witness(installed) as owner:
            await commit_events(data, user, run, 1)
            await commit_events(data, user, run, 2, message="the message")

            async def stages() -> list[tuple[str, str]]:
                rows = await owner.fetch(
                    "select message_id, stage from stages where user_id = $1", user
                )
                return [(message, stage) for message, stage in rows]

            async def are_there() -> bool:
                return bool(await stages())

            await until(are_there)
            assert await stages() == [("the message", "notified")]


@asynchronous
async def test_one_relay_leads_and_another_takes_over(installed: Lease) -> None:
    """When the first one's backend is killed; then the first one stands ready again."""
    async with (
        opened(installed) as data,
        streams_on(installed) as streams,
        AsyncExitStack() as stack,
        witness(installed) as owner,
    ):
        user = await new_user(data)
        run = await new_run(data, user)
        relays = [Relay(installed.platform_url, streams) for _ in range(2)]
        await stack.enter_async_context(relays[0])
        await leading(relays[0])
        await stack.enter_async_context(relays[1])

        async def both() -> bool:
            return all(relay.is_connected for relay in relays)

        for count in (5, 10, 15):
            await until(both)
            assert sum(relay.leads for relay in relays) == 1
            await commit_events(data, user, run, 5)
            await all_published(streams, user, run, count)
            leader = next(relay for relay in relays if relay.leads)
            await kill_leader(owner)

            async def has_fallen(fallen: Relay = leader) -> bool:
                return not fallen.leads

            await until(has_fallen)
            await leading(*relays)


@asynchronous
async def test_a_relay_that_dies_before_it_forgot_publishes_again(installed: Lease) -> None:
    """Nothing is lost; what comes twice has its place in the outbox to be known by."""
    async with opened(installed) as data, streams_on(installed) as streams:
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 3)
        async with Dying(installed.platform_url, streams):

            async def are_there() -> bool:
                return len(await published(streams, user)) == 6

            await until(are_there)
        seqs = [seq for _, seq in await published(streams, user)]
        assert seqs == [0, 1, 2, 0, 1, 2]
        positions = [one.position async for one in streams.events(user)]
        assert positions[:3] == positions[3:]


@asynchronous
async def test_events_wait_for_a_redis_that_fails(installed: Lease) -> None:
    """They stay in the outbox until they could be published."""
    redis = redis_client(installed.redis_url)
    streams = Refusing(redis, KeySpace(installed.redis_prefix))
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        run = await new_run(data, user)
        await commit_events(data, user, run, 2)
        async with Relay(installed.platform_url, streams):

            async def was_refused() -> bool:
                return streams.refusals > 1

            await until(was_refused)
            assert await owner.fetchval("select count(*) from outbox where user_id = $1", user) == 2
            streams.is_broken = False
            await all_published(streams, user, run, 2)
    await redis.aclose()


@asynchronous
async def test_a_relay_without_a_database_tries_on_until_it_is_left(lease: Lease) -> None:
    """It is not connected, does not lead, and ends when it is told to."""
    async with streams_on(lease) as streams:
        async with Relay(Secret("postgresql://127.0.0.1:1/none"), streams) as relay:
            await asyncio.sleep(0)
            assert not relay.is_connected
        assert not relay.leads


class _Undone(Exception):
    """Rolls a transaction back."""


class Dying(Relay):
    """Loses its connection the first time that it has published."""

    has_died = False

    async def forget(self, connection: _Connection, rows: Sequence[Row]) -> None:
        """Cut the connection, then try."""
        if not self.has_died:
            self.has_died = True
            connection.terminate()
        await super().forget(connection, rows)


class Refusing(Streams):
    """Streams on a Redis that fails for a while."""

    is_broken = True
    refusals = 0

    async def publish(self, batch: Sequence[Published]) -> None:
        """Fail, or publish."""
        if self.is_broken:
            self.refusals += 1
            raise ServiceUnavailable("Redis fails")
        await super().publish(batch)


async def leading(*relays: Relay) -> None:
    """Wait until one of them leads."""

    async def leads() -> bool:
        return any(relay.leads for relay in relays)

    await until(leads)


async def kill_leader(owner: _Connection) -> None:
    """End the backend that holds the relays' lock."""
    killed = await owner.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_locks"
        " where locktype = 'advisory' and granted"
        " and database = (select oid from pg_database where datname = current_database())"
        " and (classid, objid) = (hashtext('labkit')::bigint & 4294967295,"
        " hashtext('relay')::bigint & 4294967295)"
    )
    assert killed == 1
