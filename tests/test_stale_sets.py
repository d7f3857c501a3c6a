"""The target itself is put into every order of its turns: the plain cache-aside goes stale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import cast

import pytest

from labkit.detoured import Detoured, detours
from labkit.errors import Denied
from labkit.ids import UserID
from labkit.judges.stale_sets import Actor, StaleSetHistory, StaleSetTable, judge_stale_sets
from labkit.services.endpoints import Lease
from labkit.stale_sets import comes_to, stale_set_table
from labkit.targets.protocols import Target
from labkit.witness import Witness
from tests.reference.stage import asynchronous
from tests.targets.shelf import Shelved, ShelvedForGood, ShelvedUnderLock, ShelvedWithLeases

CLASSIC = "R:Redis R:PostgreSQL W:PostgreSQL W:Redis R:Redis"


@asynccontextmanager
async def detoured(lease: Lease, platform: type[Shelved]) -> AsyncIterator[Detoured]:
    """A platform on ways of its own."""
    async with detours(lease, random=Random(1)) as ways, platform(ways.lease) as opened:
        yield Detoured(ways.lease, ways.postgres, ways.redis, cast(Target, opened))


async def raced(
    lease: Lease, platform: type[Shelved], *, most_orders: int = 100, turn_s: float = 5
) -> StaleSetTable:
    """All interleavings of a platform's."""
    await platform.install(lease)
    user = UserID.new()
    async with (
        Witness(lease) as witness,
        detoured(lease, platform) as reader,
        detoured(lease, platform) as writer,
    ):
        await writer.target.data.create_user(user)
        return await stale_set_table(
            witness, reader, writer, user=user, most_orders=most_orders, turn_s=turn_s
        )


@asynchronous
async def test_a_plain_cache_aside_is_caught(lease: Lease) -> None:
    """Of 20 interleavings exactly the one that is known goes stale."""
    table = await raced(lease, Shelved)
    assert (len(table.target), table.possible, table.target_name) == (20, 20, "shelved notepad")
    assert [str(one) for one in table.target if one.is_stale] == [CLASSIC]
    verdict = judge_stale_sets(table)
    assert (verdict.valid, verdict.reason, verdict.count) == (False, "stale-set", 1)
    assert verdict.first == f"{CLASSIC} leaves 'before' in the cache, and 'after' is stored"


@asynchronous
async def test_a_lease_keeps_the_cache_right(lease: Lease) -> None:
    """The same turns in the same orders, and none goes stale."""
    table = await raced(lease, ShelvedWithLeases)
    assert [str(one) for one in table.target if one.is_stale or one.obstacle] == []
    assert CLASSIC in [str(one) for one in table.target]
    verdict = judge_stale_sets(table)
    assert verdict.valid is True
    assert verdict.detail.startswith("20 of 20 orders of shelved notepad were run: none left")


@asynchronous
async def test_no_invalidation_is_caught(lease: Lease) -> None:
    """Six of eight, as of the textbook's: all with a warm cache, and two with a cold one."""
    table = await raced(lease, ShelvedForGood)
    assert (len(table.target), sum(one.is_stale for one in table.target)) == (8, 6)
    assert judge_stale_sets(table).first.startswith(
        "R:Redis R:PostgreSQL R:Redis W:PostgreSQL leaves 'before'"
    )


@asynchronous
async def test_an_order_that_a_lock_forbids_is_told(lease: Lease) -> None:
    """Both are let go where the one waits for the other, and nothing is stale then either."""
    table = await raced(lease, ShelvedUnderLock, turn_s=1)
    forbidden = [one for one in table.target if one.obstacle]
    assert forbidden
    assert "R:Redis R:PostgreSQL W:PostgreSQL" in [str(one) for one in forbidden]
    verdict = judge_stale_sets(table)
    assert verdict.valid is True
    assert f"{len(forbidden)} of which the target itself did not let happen" in verdict.detail


@asynchronous
async def test_of_many_orders_some_are_run(lease: Lease) -> None:
    """No more than was asked for, spread over all, with a cold and with a warm cache."""
    table = await raced(lease, ShelvedWithLeases, most_orders=4)
    assert (len(table.target), table.possible) == (8, 20)
    assert [one.is_warm for one in table.target] == [False] * 4 + [True] * 4
    assert judge_stale_sets(table).detail.startswith("8 of 20 orders")


@asynchronous
async def test_an_error_of_the_target_comes_through(lease: Lease) -> None:
    """A user who is not registered has no thread."""
    await Shelved.install(lease)
    async with (
        Witness(lease) as witness,
        detoured(lease, Shelved) as reader,
        detoured(lease, Shelved) as writer,
    ):
        with pytest.raises(Denied):
            await stale_set_table(witness, reader, writer, user=UserID.new())


@pytest.mark.parametrize(
    ("order", "is_same"),
    [("RWWRR", True), ("RRRWW", True), ("WRWRR", False), ("RW", False), ("WRRRW", False)],
)
def test_orders_that_come_to_the_same_are_known(order: str, is_same: bool) -> None:
    """A reader that was through after one turn skips the others, wherever they stand."""
    hit = StaleSetHistory(
        is_warm=True, steps=("R:Redis", "W:PostgreSQL", "W:Redis"), stored="2", cached="2"
    )
    assert comes_to(tuple(map(Actor, order)), hit) is is_same
    assert comes_to(tuple(map(Actor, order)), replace(hit, obstacle="a lock")) is False
