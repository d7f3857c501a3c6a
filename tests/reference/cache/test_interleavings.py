"""No order of the steps of readers and writers leaves an old title behind, nor does a death."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import pytest

from labkit.errors import Denied
from labkit.reference import Platform
from labkit.reference.cache.keyspace import Kind
from labkit.reference.sabotage import titles as saboteurs
from labkit.services.endpoints import Lease
from labkit.targets.cache import CachedTitle
from tests.reference.cache.paces import Actor, is_possible, orders, paced
from tests.reference.stage import asynchronous, new_user

READER, WRITER, OTHER, DELETER = "reader", "writer", "other writer", "deleter"
EXPIRY, FORGETTING = "expiry", "forgetting"
ONE_OF_EACH = tuple(orders({READER: 3, WRITER: 3}))
PARTS = 6
"""Into how many tests many orders are divided, so that each has a time of its own."""
WRITER_DIES = tuple(order for steps in (1, 2) for order in orders({READER: 3, WRITER: steps}))
AT_ONCE = 2
"""How many orders are played at the same time: each may hold two of the pool's four connections."""


@dataclass(frozen=True)
class Scene:
    """A thread of a new user, and what actors do with it."""

    target: Platform
    user: str
    thread: str

    async def title(self) -> CachedTitle:
        """The title, read by a session of its own."""
        async with self.target.cache.session(self.user) as session:
            return await session.title(self.thread)

    async def is_stale(self) -> bool:
        """Whether another title is read than the one in the database."""
        [stored] = await self.target.data.threads(self.user)
        return (await self.title()).title != stored.title

    async def expire(self) -> None:
        """Have what stands in Redis for the thread expire at this moment."""
        inner = self.target._assembly
        await inner.redis.pexpire(inner.keys.named(self.user, Kind.TITLES, self.thread), 0)

    def work(self, name: str) -> Awaitable[object]:
        """What the actor of this name does."""
        data, cache = self.target.data, self.target.cache
        match name:
            case "reader":
                return self.title()
            case "writer" | "other writer":
                return data.rename_thread(self.user, self.thread, f"by the {name}")
            case "deleter":
                return data.delete_thread(self.user, self.thread)
            case "expiry":
                return self.expire()
            case "forgetting":
                return cache.invalidate_all(self.user)
        raise KeyError(name)


async def play(
    target: Platform, order: Sequence[str], *, warm: bool
) -> tuple[Scene, dict[str, Actor]]:
    """Do the steps in this order on a new thread, with or without its title in the cache."""
    user = await new_user(target.data)
    scene = Scene(target, user, await target.data.create_thread(user, "old"))
    if warm:
        await scene.title()
    actors = {name: Actor(partial(scene.work, name)) for name in dict.fromkeys(order)}
    for name in order:
        await actors[name].step()
    return scene, actors


async def after_all(target: Platform, order: Sequence[str], *, warm: bool) -> bool:
    """Whether an old title is read once all have come to their ends."""
    scene, actors = await play(target, order, warm=warm)
    for actor in actors.values():
        await actor.finish()
    return await scene.is_stale()


async def after_deaths(target: Platform, order: Sequence[str], *, warm: bool) -> bool:
    """Whether an old title is read once writers have died, before or after their keys expire."""
    scene, actors = await play(target, order, warm=warm)
    for name, actor in actors.items():
        await (actor.finish() if name == READER else actor.die())
    found = [await scene.is_stale()]
    if not (await scene.title()).is_hit:
        await scene.expire()
        found += [await scene.is_stale(), not (await scene.title()).is_hit]
    return any(found)


Judge = Callable[..., Awaitable[bool]]


async def stale_orders(
    target: Platform, every: Iterable[Sequence[str]], judge: Judge
) -> list[tuple[bool, Sequence[str]]]:
    """In which of the orders an old title is read, with whether the cache was warm."""
    turns, stale = asyncio.Semaphore(AT_ONCE), []

    async def one(warm: bool, order: Sequence[str]) -> None:
        async with turns:
            if await judge(target, order, warm=warm):
                stale.append((warm, order))

    async with asyncio.TaskGroup() as group:
        for warm, order in product((False, True), every):
            group.create_task(one(warm, order))
    return stale


STALE: list[tuple[type[Platform], Sequence[Sequence[str]], Judge, int]] = [
    (saboteurs.NeverInvalidates, ONE_OF_EACH, after_all, 30),
    (saboteurs.InvalidatesBeforeTheCommit, ONE_OF_EACH, after_all, 6),
    (saboteurs.FillsWithoutALease, ONE_OF_EACH, after_all, 4),
    (saboteurs.InvalidatesAfterTheCommitAlone, WRITER_DIES, after_deaths, 17),
]
"""In how many of the orders an old title is read, cold and warm."""


@asynchronous
async def test_no_order_of_a_reader_and_a_writer_is_stale(installed: Lease) -> None:
    """All twenty orders of their six steps, with the title in the cache at first and without."""
    assert len(ONE_OF_EACH) == 20
    async with paced(Platform)(installed) as target:
        assert await stale_orders(target, ONE_OF_EACH, after_all) == []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("another", [EXPIRY, FORGETTING])
@asynchronous
async def test_nothing_that_is_removed_meanwhile_makes_it_stale(
    installed: Lease, another: str, part: int
) -> None:
    """The key expires at any moment, or all of the user's keys are forgotten."""
    async with paced(Platform)(installed) as target:
        every = tuple(orders({READER: 3, WRITER: 3, another: 1}))
        assert len(every) == 140
        assert await stale_orders(target, every[part::PARTS], after_all) == []


@pytest.mark.parametrize("part", range(PARTS))
@asynchronous
async def test_no_order_of_a_reader_and_two_writers_is_stale(installed: Lease, part: int) -> None:
    """All orders in which the database lets the writers change the row."""
    every = [
        order
        for order in orders({READER: 3, WRITER: 3, OTHER: 3})
        if is_possible(order, (WRITER, OTHER)) and order.index(WRITER) < order.index(OTHER)
    ]
    assert len(every) == 336
    async with paced(Platform)(installed) as target:
        assert await stale_orders(target, every[part::PARTS], after_all) == []


@asynchronous
async def test_a_writer_that_dies_leaves_nothing_stale(installed: Lease) -> None:
    """Before its commit or after it, wherever the reader is; the title is cached again later."""
    assert len(WRITER_DIES) == 4 + 10
    async with paced(Platform)(installed) as target:
        assert await stale_orders(target, WRITER_DIES, after_deaths) == []


@pytest.mark.parametrize("part", range(PARTS))
@asynchronous
async def test_two_writers_that_die_leave_nothing_stale(installed: Lease, part: int) -> None:
    """The second one's intent stands for both, also when it does not come to its commit."""
    every = [
        order
        for steps in (1, 2)
        for order in orders({READER: 3, WRITER: 2, OTHER: steps})
        if is_possible(order, (WRITER, OTHER)) and order.index(WRITER) < order.index(OTHER)
    ]
    async with paced(Platform)(installed) as target:
        assert await stale_orders(target, every[part::PARTS], after_deaths) == []


@asynchronous
async def test_a_deleted_thread_is_not_read_again(installed: Lease) -> None:
    """Whatever the order, nobody is told its title afterwards; a reader on his way may be."""
    async with paced(Platform)(installed) as target:
        for order, warm in product(orders({READER: 3, DELETER: 3}), (False, True)):
            scene, actors = await play(target, order, warm=warm)
            await asyncio.wait([actor.task for actor in actors.values()])
            await actors[DELETER].finish()
            with pytest.raises(Denied, match="has no thread"):
                await scene.title()
            assert isinstance(actors[READER].task.exception(), Denied | None)


@pytest.mark.parametrize(("saboteur", "every", "judge", "stale"), STALE)
@asynchronous
async def test_some_order_is_stale_where_a_step_is_missing(
    installed: Lease,
    saboteur: type[Platform],
    every: Sequence[Sequence[str]],
    judge: Judge,
    stale: int,
) -> None:
    """Each of the steps is needed: so many of the same orders find what is wrong without it."""
    async with paced(saboteur)(installed) as target:
        assert len(await stale_orders(target, every, judge)) == stale


@asynchronous
async def test_leases_alone_hold_while_no_writer_dies(installed: Lease) -> None:
    """What is removed after the commit alone is stale in none of the twenty orders."""
    async with paced(saboteurs.InvalidatesAfterTheCommitAlone)(installed) as target:
        assert await stale_orders(target, ONE_OF_EACH, after_all) == []
