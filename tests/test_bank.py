"""The bank's transfers really collide, and its history tells what a faulty platform did."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.bank import BALANCE, Bank, Collision, move_credits, open_bank, totals_picture
from labkit.errors import Rejected
from labkit.ids import UserID
from labkit.judges.transfers import BankHistory, judge_transfers
from labkit.redaction import Secret
from labkit.reference import Platform
from labkit.reference.data.pool import Pool, PoolLimits
from labkit.reference.platform import Parts
from labkit.reference.sabotage.data import TransfersAtReadCommitted
from labkit.services.endpoints import Lease
from labkit.witness import Witness

TRANSFERS = 24


class _Single(Pool):
    def __init__(self, url: Secret) -> None:
        super().__init__(url, PoolLimits(connections=1))


class OneAtATime(Platform):
    """A platform of which no two transactions can meet."""

    parts = Parts(pool=_Single)


@asynccontextmanager
async def opened(lease: Lease, platform: type[Platform]) -> AsyncIterator[Bank]:
    """A bank of four accounts on the lease."""
    await platform.install(lease)
    async with platform(lease) as target, Witness(lease) as witness:
        user, table = UserID.new(), target.tables.accounts
        yield await open_bank(target.data, witness, table, user=user, accounts=4)


def moved(
    lease: Lease, platform: type[Platform], transfers: int = TRANSFERS
) -> tuple[BankHistory, Collision]:
    """What came of that many transfers."""

    async def run() -> tuple[BankHistory, Collision]:
        async with opened(lease, platform) as bank:
            return await move_credits(bank, transfers, random.Random(7))

    return asyncio.run(run())


def test_transfers_collide_and_the_total_stays(lease: Lease) -> None:
    """As many transfers as there are connections wait at the gate; all count once."""
    history, collision = moved(lease, Platform)
    assert collision == Collision(waiting=4, connections=4)
    assert set(history.initial.values()) == {BALANCE}
    assert len(history.transfers) == TRANSFERS
    assert {look.total for look in history.snapshots} == {4 * BALANCE}
    assert judge_transfers(history).valid is True


def test_collisions_show_lost_updates(lease: Lease) -> None:
    """Where nothing guards a transfer, the gate alone makes the total wrong."""
    history, collision = moved(lease, TransfersAtReadCommitted, transfers=4)
    assert collision.waiting == 4
    assert judge_transfers(history).reason == "total-changed"


def test_one_connection_is_no_collision(lease: Lease) -> None:
    """A platform that works one at a time is seen to have made none wait beside another."""
    history, collision = moved(lease, OneAtATime, transfers=3)
    assert collision == Collision(waiting=1, connections=1)
    assert judge_transfers(history).valid is True


def test_the_gate_opens_after_an_error(lease: Lease) -> None:
    """A platform that fails ends the workload with its error, and no lock stays behind."""

    async def run() -> None:
        async with opened(lease, Platform) as bank:
            broken = Bank(bank.data, bank.witness, bank.table, bank.user, ("nobody's", "neither"))
            with pytest.raises(ExceptionGroup):
                await move_credits(broken, 1, random.Random(7))
            assert await bank.data.transfer(bank.user, bank.accounts[0], bank.accounts[1], 1)

    asyncio.run(run())


def test_the_same_seed_moves_the_same(lease: Lease) -> None:
    """Amounts and accounts come from the seed alone."""
    moves = []
    for _ in range(2):
        history, _ = moved(lease, Platform, transfers=6)
        moves.append(sorted((one.source, one.destination, one.amount) for one in history.transfers))
    assert moves[0] == moves[1]


def test_accounts_are_opened_once(lease: Lease) -> None:
    """A user who has a bank already is refused by the platform."""

    async def run() -> None:
        async with opened(lease, Platform) as bank:
            with pytest.raises(Rejected):
                await open_bank(bank.data, bank.witness, bank.table, user=bank.user, accounts=1)

    asyncio.run(run())


def test_a_picture_tells_in_words_too(lease: Lease) -> None:
    """The totals are drawn, and said in a sentence for who cannot see them."""
    history, _ = moved(lease, Platform, transfers=4)
    picture = totals_picture(history)
    assert "4 transfers were acknowledged" in picture.words
    assert picture.words.endswith(": 400.")
