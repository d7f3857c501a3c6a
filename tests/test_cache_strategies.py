"""Every textbook strategy goes wrong in exactly the orders that are known, on real services."""

from __future__ import annotations

import pytest

from labkit.cache_strategies import ACTORS, TTL_MS
from labkit.judges.stale_sets import KNOWN, StaleSetHistory, Strategy, counted, interleavings
from labkit.services.endpoints import Lease
from labkit.stale_sets import TABLE, textbook_histories
from labkit.witness import Witness
from tests.reference.stage import asynchronous

CLASSIC = "R:get R:db W:db W:del R:set"


def stale(histories: list[StaleSetHistory]) -> list[str]:
    """The orders that left something stale."""
    return [str(history) for history in histories if history.is_stale]


@asynchronous
async def test_every_strategy_goes_wrong_as_often_as_is_known(lease: Lease) -> None:
    """Counts of interleavings and of stale ones are those that follow from its rules."""
    found = await textbook_histories(lease)
    assert {strategy: counted(histories) for strategy, histories in found.items()} == KNOWN
    assert stale(list(found[Strategy.DELETE_AFTER])) == [CLASSIC]
    assert stale(list(found[Strategy.CHECKED_READER])) == [CLASSIC]
    assert stale(list(found[Strategy.WRITE_THROUGH])) == ["R:get R:db W:db W:set R:set"]
    assert "R:get R:db W:del W:db W:del R:set" in stale(list(found[Strategy.DELETE_TWICE]))


@asynchronous
async def test_it_leaves_no_key_and_can_be_run_again(lease: Lease) -> None:
    """The namespace is as empty as before, and the counts are the same the second time."""
    async with Witness(lease) as witness:
        for _ in range(2):
            found = await textbook_histories(lease)
            assert counted(found[Strategy.DELETE_BEFORE]) == KNOWN[Strategy.DELETE_BEFORE]
            assert await witness.keys() == frozenset()
        assert await witness.count(TABLE, "version = 2") == sum(
            known.interleavings for known in KNOWN.values()
        )


@pytest.mark.parametrize("strategy", Strategy)
def test_a_strategy_has_as_many_orders_as_are_known(strategy: Strategy) -> None:
    """Reader and writer steps give the known number of orders, cold and warm."""
    actors = ACTORS[strategy]
    orders = interleavings(actors.reader_steps, actors.writer_steps)
    assert 2 * len(orders) == KNOWN[strategy].interleavings


def test_what_is_cached_outlives_the_race() -> None:
    """Nothing expires in between, which would look like a remedy."""
    assert TTL_MS >= 60_000
