"""One actor's requests to two servers pass turn by turn, whatever connections they come by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from labkit.errors import TargetError, UsageError
from labkit.faults.proxy import TcpProxy
from labkit.faults.turnstile import ServerName, Turnstile
from tests.faults.stage import LONG_S, SHORT_S, Client, client_of, ended, proxied
from tests.reference.stage import asynchronous

POSTGRES, REDIS = ServerName.POSTGRES, ServerName.REDIS


@dataclass
class Actor:
    """Asks two echoing servers, and notes what has been answered."""

    postgres: Client
    redis: Client
    turns: Turnstile
    proxies: dict[ServerName, TcpProxy]
    answered: list[str] = field(default_factory=list)

    async def ask(self, *texts: str) -> str:
        """Send each text to the server that its first letter names, and wait for its answer."""
        for text in texts:
            client = self.postgres if text.startswith("p") else self.redis
            assert await client.asks(text.encode()) == text.encode()
            self.answered.append(text)
        return "over"


@asynccontextmanager
async def acting() -> AsyncIterator[Actor]:
    """An actor whose connections have been used before, and a turnstile that is not armed."""
    async with proxied() as one, proxied() as two, client_of(one) as db, client_of(two) as cache:
        proxies = {POSTGRES: one, REDIS: two}
        actor = Actor(db, cache, Turnstile(proxies), proxies)
        await actor.ask("p0", "r0")
        actor.answered.clear()
        yield actor


async def walk(actor: Actor, texts: Sequence[str]) -> list[tuple[ServerName, list[str]]]:
    """Where an operation was held, and what had been answered by then, turn by turn."""
    seen = []
    with actor.turns:
        operation = asyncio.create_task(actor.ask(*texts))
        while (server := await actor.turns.held(operation, deadline_s=LONG_S)) is not None:
            seen.append((server, list(actor.answered)))
            actor.turns.let_pass()
        assert await operation == "over"
    return seen


@asynchronous
async def test_requests_pass_turn_by_turn() -> None:
    """The actor stands before the server that it asks next, and has all answers until then."""
    async with acting() as actor:
        assert await walk(actor, ["r1", "p1", "r2"]) == [
            (REDIS, []),
            (POSTGRES, ["r1"]),
            (REDIS, ["r1", "p1"]),
        ]


@asynchronous
async def test_requests_to_the_same_server_are_one_turn() -> None:
    """A transaction of several round trips passes as a whole."""
    async with acting() as actor:
        assert await walk(actor, ["p1", "p2", "p3", "r1", "r2"]) == [
            (POSTGRES, []),
            (REDIS, ["p1", "p2", "p3"]),
        ]


@asynchronous
async def test_a_held_request_does_not_pass_by_itself() -> None:
    """However long it stands there."""
    async with acting() as actor:
        with actor.turns:
            operation = asyncio.create_task(actor.ask("p1"))
            assert await actor.turns.held(operation) is POSTGRES
            assert not (await asyncio.wait([operation], timeout=SHORT_S))[0]
            assert actor.answered == []
            actor.turns.let_pass()
            assert await actor.turns.held(operation) is None


@asynchronous
async def test_connections_of_one_actor_belong_together() -> None:
    """What it sends to the same server by another connection is the same turn, a new one too."""
    async with acting() as actor, client_of(actor.proxies[POSTGRES]) as second:
        with actor.turns:
            first = asyncio.create_task(actor.ask("p1"))
            other = asyncio.create_task(second.asks(b"p2"))
            both = asyncio.gather(first, other)
            assert await actor.turns.held(both) is POSTGRES
            actor.turns.let_pass()
            assert await actor.turns.held(both) is None
            async with client_of(actor.proxies[POSTGRES]) as third:
                assert await third.asks(b"p3") == b"p3"


@asynchronous
async def test_of_two_servers_asked_at_once_the_first_comes_first() -> None:
    """Each is a turn, and the one does not let the other in."""
    async with acting() as actor:
        with actor.turns:
            cache = asyncio.create_task(actor.ask("r1"))
            assert await actor.turns.held(cache) is REDIS
            database = asyncio.create_task(actor.ask("p1"))
            await asyncio.wait([database], timeout=SHORT_S)
            actor.turns.let_pass()
            assert await actor.turns.held(database) is POSTGRES
            assert (await cache, database.done()) == ("over", False)
            actor.turns.let_pass()
            assert await actor.turns.held(database) is None


@asynchronous
async def test_disarming_lets_everything_pass() -> None:
    """What waits goes on, and nothing is held any more; twice does no harm."""
    async with acting() as actor:
        actor.turns.arm()
        operation = asyncio.create_task(actor.ask("p1", "r1", "p2"))
        assert await actor.turns.held(operation) is POSTGRES
        actor.turns.disarm()
        actor.turns.disarm()
        assert await asyncio.wait_for(operation, LONG_S) == "over"


@asynchronous
async def test_a_turn_that_does_not_end_is_told() -> None:
    """An actor that waits for something else than a server is given up at the deadline."""
    async with acting() as actor:
        never = asyncio.get_running_loop().create_future()
        with actor.turns, pytest.raises(TargetError, match="neither asked another server"):
            await actor.turns.held(never, deadline_s=SHORT_S)


@asynchronous
async def test_a_connection_that_ends_stands_there_no_longer() -> None:
    """What a connection that was cut had sent is not let in later."""
    async with acting() as actor:
        with actor.turns:
            asking = asyncio.create_task(actor.postgres.asks(b"p1"))
            assert await actor.turns.held(asking) is POSTGRES
            await actor.proxies[POSTGRES].cut()
            await ended(actor.proxies[POSTGRES])
            with pytest.raises(ConnectionResetError):
                await asking
            with pytest.raises(UsageError, match="nothing waits"):
                actor.turns.let_pass()


@asynchronous
async def test_it_is_armed_once() -> None:
    """A second time would stand in its own way."""
    async with acting() as actor:
        with actor.turns, pytest.raises(UsageError, match="armed already"):
            actor.turns.arm()
