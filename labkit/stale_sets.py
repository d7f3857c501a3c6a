"""Runs the stale-set race for real: textbook strategies and the target itself, in every order.

The textbook's actors stop after each step. The target's reader and writer are two targets on ways
of their own, whose turnstiles let one turn pass at a time. No pause decides the order of anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import chain
from typing import Any, Final

from labkit.cache_strategies import ACTORS, CachedRow
from labkit.detoured import Detoured
from labkit.errors import TargetError
from labkit.faults.turnstile import ServerName, Turnstile
from labkit.judges.stale_sets import (
    Actor,
    Order,
    StaleSetHistory,
    StaleSetTable,
    Strategy,
    interleavings,
)
from labkit.services.connect import PostgresConnection, postgres_session, redis_session
from labkit.services.endpoints import Lease
from labkit.services.urls import PostgresUrl, RedisUrl
from labkit.targets.cache import CachedTitle
from labkit.witness import Witness, table_name

TABLE: Final = "labkit_stale_sets"
"""The table of the textbook's actors, beside the platform's own in the leased database."""

TURN_S: Final = 2.0
"""How long a turn of the target's may take before its order is given up, in seconds."""

MOST_ORDERS: Final = 100
"""How many orders of the target's turns are run, with a cold cache and with a warm one each."""

_MAKE: Final = (
    "create table if not exists {table} (id integer primary key, version integer not null)",
    "truncate {table}",
)
_FILL: Final = "insert into {table} select id, 1 from generate_series(0, $1::integer - 1) as id"
_TITLE: Final = "select title from {table} where id = $1"
_BEFORE: Final = "before"
_AFTER: Final = "after"
_DOING: Final = "run the stale-set race"
_GRACE_S: Final = 10.0
_CACHE_STATES: Final = (False, True)


async def stale_set_table(
    witness: Witness,
    reader: Detoured,
    writer: Detoured,
    *,
    user: str,
    turn_s: float = TURN_S,
    most_orders: int = MOST_ORDERS,
) -> StaleSetTable:
    """Run all interleavings of the textbook's strategies, and all of the target's own.

    `user` is registered; each interleaving has a thread of that user's for itself, which one
    session reads while another target renames it. Where the target's turns allow more than
    `most_orders` orders, as many are run, evenly spread; orders that come to the same steps, since
    an actor was through early, are run once and counted each. Errors of the target come through,
    and `TargetError` is raised when it does not end what it was asked.
    """
    textbook = await textbook_histories(witness.lease)
    race = _Race(witness, reader, writer, user, turn_s)
    turns = await race.longest_turns()
    orders = interleavings(turns[Actor.READER], turns[Actor.WRITER])
    chosen = orders[:: -(-len(orders) // most_orders)]
    target = [
        history
        for is_warm in _CACHE_STATES
        for history in await _run_all(race, chosen, is_warm=is_warm)
    ]
    possible = len(orders) * len(_CACHE_STATES)
    return StaleSetTable(textbook, target, reader.target.name, possible)


async def _run_all(
    race: _Race, orders: Sequence[Order], *, is_warm: bool
) -> Sequence[StaleSetHistory]:
    """Each order's history; orders that come to the same steps have been run once."""
    histories: list[StaleSetHistory] = []
    for order in orders:
        same = next((each for each in histories if comes_to(order, each)), None)
        histories.append(same or await race.run(order, is_warm=is_warm))
    return histories


def comes_to(order: Order, history: StaleSetHistory) -> bool:
    """Whether an order would be what has been run: an actor that is through skips its rest."""
    actors = [Actor(step.partition(":")[0]) for step in history.steps]
    left, taken = Counter(actors), list[Actor]()
    for actor in order:
        if left[actor]:
            left[actor] -= 1
            taken.append(actor)
    return taken == actors and not history.obstacle


async def textbook_histories(lease: Lease) -> Mapping[Strategy, Sequence[StaleSetHistory]]:
    """Run all interleavings of every textbook strategy, each on a row and a key of its own."""
    async with (
        postgres_session(PostgresUrl.parse(lease.owner_url.reveal()), doing=_DOING) as postgres,
        redis_session(RedisUrl.parse(lease.redis_url.reveal()), doing=_DOING) as redis,
    ):
        rows = [
            CachedRow(postgres, redis, TABLE, number, f"{lease.redis_prefix}{TABLE}:{number}")
            for number in range(await _make_rows(postgres))
        ]
        unused = iter(rows)
        try:
            return {
                strategy: [
                    await _play(next(unused), strategy, order, is_warm=is_warm)
                    for is_warm, order in _textbook_orders(strategy)
                ]
                for strategy in ACTORS
            }
        finally:
            await redis.command("UNLINK", *chain(*((row.key, row.lease_key) for row in rows)))


def _textbook_orders(strategy: Strategy) -> Sequence[tuple[bool, Order]]:
    actors = ACTORS[strategy]
    orders = interleavings(actors.reader_steps, actors.writer_steps)
    return [(is_warm, order) for is_warm in _CACHE_STATES for order in orders]


async def _make_rows(postgres: PostgresConnection) -> int:
    """One row for each interleaving, of version 1; how many there are."""
    count = sum(len(_textbook_orders(strategy)) for strategy in ACTORS)
    for sql in _MAKE:
        await postgres.execute(sql.format(table=TABLE))
    await postgres.execute(_FILL.format(table=TABLE), count)
    return count


async def _play(
    row: CachedRow, strategy: Strategy, order: Order, *, is_warm: bool
) -> StaleSetHistory:
    """Take the steps in this order; an actor that is through skips the rest of its own."""
    if is_warm:
        await row.set(await row.read())
    actors = ACTORS[strategy]
    async with aclosing(actors.reader(row)) as reader, aclosing(actors.writer(row)) as writer:
        steps = {Actor.READER: reader, Actor.WRITER: writer}
        done = [await anext(steps[actor], None) for actor in order]
    took = tuple(step for step in done if step is not None)
    return StaleSetHistory(is_warm, took, await row.read(), await row.get())


class _Turns:
    """One actor's operation, and the turns that it is let through."""

    def __init__(
        self, actor: Actor, turnstile: Turnstile, operation: asyncio.Task[Any], turn_s: float
    ) -> None:
        self._actor = actor
        self._turnstile = turnstile
        self._operation = operation
        self._turn_s = turn_s

    async def take(self, taken: list[str]) -> bool:
        """Let the next turn pass, note it, and wait for its end; False when there is none.

        Raises `TargetError` when it does not end.
        """
        server = await self._held()
        if server is None:
            return False
        self._turnstile.let_pass()
        taken.append(f"{self._actor}:{server}")
        await self._held()
        return True

    def free(self) -> None:
        """Let all that is left of it pass."""
        self._turnstile.disarm()

    async def end(self) -> None:
        """Let it end; its errors come through, and `TargetError` when it does not."""
        self.free()
        await asyncio.wait([self._operation], timeout=_GRACE_S)
        if not self._operation.done():
            await self.cancel()
            raise TargetError(f"the target did not end its operation within {_GRACE_S:g} s")
        self._operation.result()

    async def cancel(self) -> None:
        """Give it up."""
        self.free()
        self._operation.cancel()
        await asyncio.wait([self._operation], timeout=_GRACE_S)

    async def _held(self) -> ServerName | None:
        return await self._turnstile.held(self._operation, deadline_s=self._turn_s)


class _Race:
    """A session that reads a thread's title, and another target that renames the thread."""

    def __init__(
        self, witness: Witness, reader: Detoured, writer: Detoured, user: str, turn_s: float
    ) -> None:
        self._witness = witness
        self._ways = {Actor.READER: reader, Actor.WRITER: writer}
        self._acts: Mapping[Actor, Callable[[str], Coroutine[Any, Any, object]]] = {
            Actor.READER: self._read,
            Actor.WRITER: self._rename,
        }
        self._user = user
        self._turn_s = turn_s

    async def longest_turns(self) -> Mapping[Actor, int]:
        """How many turns each actor takes alone, with a cold or a warm cache, whichever are more.

        Both have been busy before, so that opening connections is no turn.
        """
        thread = await self._thread(is_warm=True)
        await self._rename(thread)
        return {
            actor: max([await self._alone(actor, is_warm=is_warm) for is_warm in _CACHE_STATES])
            for actor in Actor
        }

    async def run(self, order: Order, *, is_warm: bool) -> StaleSetHistory:
        """Let both take their turns in this order, and look at what is left.

        An actor that is through earlier skips its turns, and one that takes more has them at the
        end. Where one does not go on, since the other holds what it waits for, both are let go.
        """
        thread = await self._thread(is_warm=is_warm)
        taken: list[str] = []
        async with (
            self._started(Actor.READER, thread) as reader,
            self._started(Actor.WRITER, thread) as writer,
        ):
            turns = {Actor.READER: reader, Actor.WRITER: writer}
            obstacle = await _direct(turns, order, taken)
        stored = await self._stored(thread)
        if stored != _AFTER:
            raise TargetError(f"the thread was renamed {_AFTER!r}, and its row says {stored!r}")
        cached = await self._read(thread)
        return StaleSetHistory(is_warm, tuple(taken), stored, cached.title, obstacle)

    async def _alone(self, actor: Actor, *, is_warm: bool) -> int:
        thread = await self._thread(is_warm=is_warm)
        taken: list[str] = []
        async with self._started(actor, thread) as turns:
            while await turns.take(taken):
                pass
        return len(taken)

    @asynccontextmanager
    async def _started(self, actor: Actor, thread: str) -> AsyncIterator[_Turns]:
        """The actor before its first turn; it is over when the block is left."""
        turnstile = self._ways[actor].turnstile()
        with turnstile:
            operation = asyncio.create_task(self._acts[actor](thread))
            turns = _Turns(actor, turnstile, operation, self._turn_s)
            try:
                yield turns
            except BaseException:
                await turns.cancel()
                raise
            await turns.end()

    async def _thread(self, *, is_warm: bool) -> str:
        """A thread of its own for one interleaving, in the cache or not."""
        target = self._ways[Actor.WRITER].target
        thread = await target.data.create_thread(self._user, _BEFORE)
        if is_warm:
            await self._read(thread)
        return thread

    async def _read(self, thread: str) -> CachedTitle:
        """What a session that has seen nothing is told."""
        target = self._ways[Actor.READER].target
        async with target.cache.session(self._user) as session:
            return await session.title(thread)

    async def _rename(self, thread: str) -> None:
        target = self._ways[Actor.WRITER].target
        await target.data.rename_thread(self._user, thread, _AFTER)

    async def _stored(self, thread: str) -> str:
        table = table_name(self._ways[Actor.READER].target.tables.threads)
        return str(await self._witness.value(_TITLE.format(table=table), thread))


async def _direct(turns: Mapping[Actor, _Turns], order: Order, taken: list[str]) -> str:
    """Let turns pass in this order, then what is left; why it could not be kept, if so."""
    try:
        for actor in order:
            await turns[actor].take(taken)
        for each in turns.values():
            while await each.take(taken):
                pass
    except TargetError as error:
        for each in turns.values():
            each.free()
        return str(error)
    return ""
