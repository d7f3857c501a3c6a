"""What is done to a run from outside of it: cancelled, suspended, taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from labkit.errors import Rejected
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.executions import Locked, Run, RunLost
from labkit.reference.execution.orphans import is_gone
from labkit.reference.execution.turns import Failure, Records, Turns
from labkit.targets.pipeline import ExecutionState

_CANCELLED: Final = Failure("Cancelled", "cancelled by its user")


class Interventions:
    """Changes of runs by others than who works on them; the row's lock makes them take turns."""

    def __init__(self, store: Store, records: Records, turns: Turns, owner: int) -> None:
        self._store = store
        self._records = records
        self._turns = turns
        self._owner = owner

    async def cancel(self, user: str, run: str) -> None:
        """End a run early, whichever process works on it: `agent_failed` of the kind `Cancelled`.

        Raises `Denied` when the run is not the user's, `Rejected` when it has ended already.
        """
        async with self._store.transaction(user) as transaction:
            locked = await self._records.executions.lock(transaction, run)
            if locked.state.is_end:
                raise Rejected(f"run {run!r} cannot be cancelled: it is {locked.state}")
            if not locked.next_seq:
                await self._turns.tell_start(transaction, locked.run, None)
            await self._turns.end_early(transaction, locked.run, _CANCELLED, None)
            await self._records.executions.cancel(transaction, run)

    async def suspend(self, run: Run) -> None:
        """Let go of a run that this process worked on: any process may go on with it."""
        async with self._store.transaction(run.user) as transaction:
            locked = await self._records.executions.lock(transaction, run.id)
            if locked.state is not ExecutionState.ACTIVE or locked.owner != self._owner:
                raise RunLost(f"run {run.id!r} is no longer active here")
            await self._records.executions.suspend(transaction, run.id)

    async def take_over(self, user: str, run: str, *, is_mine_lost: Callable[[], bool]) -> Run:
        """Make a suspended run, or one whose process is gone, this process's own and active.

        `is_mine_lost` says whether this process does not work on it, though its row says so; it is
        asked when the row is locked, so that the answer holds.
        Raises `Denied` when the run is not the user's, `Rejected` when it cannot go on.
        """
        async with self._store.transaction(user) as transaction:
            locked = await self._records.executions.lock(transaction, run)
            if locked.state.is_end:
                raise Rejected(f"run {run!r} cannot be resumed: it is {locked.state}")
            if locked.state is not ExecutionState.SUSPENDED:
                await self._leave_its_owner(transaction, locked, is_mine_lost)
            await self._records.executions.begin(transaction, run, self._owner)
            if not locked.next_seq:
                await self._turns.tell_start(transaction, locked.run, self._owner)
        return locked.run

    async def _leave_its_owner(
        self, transaction: UserTransaction, locked: Locked, is_mine_lost: Callable[[], bool]
    ) -> None:
        is_mine = locked.owner == self._owner
        if not (is_mine_lost() if is_mine else await is_gone(transaction, locked.owner)):
            raise Rejected(f"run {locked.run.id!r} cannot be resumed: it is being worked on")
        if locked.state is ExecutionState.ACTIVE:
            await self._records.executions.suspend(transaction, locked.run.id)
