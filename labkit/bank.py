"""A workload: credits moved between accounts by many at once, while a witness looks on.

The first transfers are forced to collide. A gate holds the accounts' rows until as many of them as
the platform has connections have read what they are going to change; only then may they write.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from labkit.display import Picture, figure_svg
from labkit.judges.transfers import BankHistory, Snapshot, Transfer
from labkit.targets.data import DataAccess
from labkit.witness import Witness, table_name

BALANCE: Final = 100
"""What each account begins with."""

_LARGEST_AMOUNT: Final = 5
_PAUSE_S: Final = 0.002
_COLLISION_S: Final = 10.0


@dataclass(frozen=True)
class Bank:
    """The accounts of one user, and who looks at them."""

    data: DataAccess
    witness: Witness
    table: str
    """Where accounts lie, with columns `id`, `user_id` and `balance`."""
    user: str
    accounts: tuple[str, ...]

    async def balances(self) -> Mapping[str, int]:
        """All balances, by the witness."""
        sql = _BALANCES.format(table=table_name(self.table))
        rows = await self.witness.fetch(sql, self.user)
        return dict(rows)

    async def look(self) -> Snapshot:
        """All accounts at one moment, in one statement."""
        sql = _SNAPSHOT.format(table=table_name(self.table))
        [(total, lowest)] = await self.witness.fetch(sql, self.user)
        return Snapshot(time.monotonic(), int(total), int(lowest))


@dataclass(frozen=True)
class Collision:
    """How many transfers were seen waiting at the gate, of how many that could."""

    waiting: int
    connections: int


async def open_bank(
    data: DataAccess, witness: Witness, table: str, *, user: str, accounts: int
) -> Bank:
    """Register the user and open the accounts."""
    names = tuple(f"account-{number}" for number in range(accounts))
    await data.create_user(user)
    for name in names:
        await data.open_account(user, name, BALANCE)
    return Bank(data, witness, table, user, names)


async def move_credits(
    bank: Bank, transfers: int, chance: random.Random
) -> tuple[BankHistory, Collision]:
    """Make the transfers, all at once, and look at the total as often as the witness can.

    The gate is closed until the first ones wait at it, for ten seconds at most: fewer than two
    waiting is no collision, and the history then shows nothing about colliding transfers.
    """
    initial = await bank.balances()
    moves = [_move(bank, chance) for _ in range(transfers)]
    late = [moves.pop()] if transfers > bank.data.pool_size else []
    snapshots: list[Snapshot] = []
    async with asyncio.TaskGroup() as group:
        async with _gate(bank) as gate:
            done = [group.create_task(_transfer(bank, *move)) for move in moves]
            collision = Collision(await _gather_at(gate, bank), bank.data.pool_size)
        if late:  # it waits until the witness has looked in between
            await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
            snapshots.append(await bank.look())
            done += [group.create_task(_transfer(bank, *move)) for move in late]
        while not all(task.done() for task in done):
            snapshots.append(await bank.look())
    acknowledged = [task.result() for task in done]
    history = BankHistory(
        initial=initial,
        transfers=tuple(transfer for transfer in acknowledged if transfer is not None),
        snapshots=tuple(snapshots),
        final=await bank.balances(),
    )
    return history, collision


def totals_picture(history: BankHistory) -> Picture:
    """The total and the lowest balance at each moment that the witness looked."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only who draws pays for the import

    began = min((one.taken_at_s for one in history.snapshots), default=0.0)
    times_ms = [1000 * (one.taken_at_s - began) for one in history.snapshots]
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.step(times_ms, [one.total for one in history.snapshots], where="post", label="total")
    axes.step(times_ms, [one.lowest for one in history.snapshots], where="post", label="lowest")
    for transfer in history.transfers:
        axes.axvline(1000 * (transfer.acknowledged_at_s - began), color="0.6", linewidth=0.4)
    axes.set(xlabel="ms since the first look", ylabel="credits", ylim=(0, None))
    axes.legend(loc="center right", frameon=False)
    totals = sorted({one.total for one in history.snapshots})
    words = (
        f"Total of all accounts in {len(history.snapshots)} looks while {len(history.transfers)} "
        f"transfers were acknowledged (grey lines): {', '.join(map(str, totals))}."
    )
    return figure_svg(figure, words)


def _move(bank: Bank, chance: random.Random) -> tuple[str, str, int]:
    source, destination = chance.sample(bank.accounts, 2)
    return source, destination, chance.randint(1, _LARGEST_AMOUNT)


async def _transfer(bank: Bank, source: str, destination: str, amount: int) -> Transfer | None:
    if await bank.data.transfer(bank.user, source, destination, amount):
        return Transfer(source, destination, amount, time.monotonic())
    return None


@contextlib.asynccontextmanager
async def _gate(bank: Bank) -> AsyncIterator[int]:
    """Hold the accounts' rows by locks for the length of the block; the holder's backend."""
    async with Witness(bank.witness.lease) as holder:
        await holder.fetch("begin")
        table = table_name(bank.table)
        await holder.fetch(_HOLD.format(table=table), bank.user)
        yield await holder.value("select pg_backend_pid()")
        await holder.fetch("commit")


async def _gather_at(gate: int, bank: Bank) -> int:
    """How many backends wait for the gate, once it is as many as can, or the time is over."""
    give_up_at = time.monotonic() + _COLLISION_S
    while True:
        waiting = int(await bank.witness.value(_WAITING, gate))
        if waiting >= bank.data.pool_size or time.monotonic() >= give_up_at:
            return waiting
        await asyncio.sleep(_PAUSE_S)  # the server tells nobody that a backend waits


_BALANCES: Final = "select id, balance from {table} where user_id = $1 order by id"
_SNAPSHOT: Final = "select sum(balance), min(balance) from {table} where user_id = $1"
_HOLD: Final = "select from {table} where user_id = $1 for update"
_WAITING: Final = """
    with recursive waiting(pid) as (
        select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid))
        union
        select other.pid from pg_stat_activity other join waiting
            on waiting.pid = any(pg_blocking_pids(other.pid))
    ) select count(*) from waiting
"""
