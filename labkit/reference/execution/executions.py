"""Executions and their states; which may follow which, the database itself decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from labkit.errors import Denied
from labkit.ids import ExecutionID
from labkit.json_values import JsonValue
from labkit.reference.data.refusals import no_such, refusals
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.targets.pipeline import ExecutionState

_INSERT: Final = """
    insert into executions (id, user_id, thread_id, request_id, agent, input, owner)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (user_id, request_id) do nothing
"""

_OF_REQUEST: Final = "select id, status from executions where request_id = $1"

_CREATE: Final = "update executions set status = 'created' where id = $1"

_ACTIVATE: Final = "update executions set status = 'active', owner = $2 where id = $1"

_SUSPEND: Final = "update executions set status = 'suspended', owner = null where id = $1"

_CANCEL: Final = "update executions set status = 'cancelled', owner = null where id = $1"

_FAIL: Final = """
    update executions set status = 'failed', owner = null, error_kind = $2, error_text = $3
     where id = $1
"""

_COMPLETE: Final = """
    update executions
       set status = 'completed', owner = null, message_id = $2, output = $3,
           completed_at = clock_timestamp(), tokens = coalesce(tokens, 0),
           duration_s = extract(epoch from clock_timestamp() - created_at),
           tool_calls = (select count(*) from tool_calls where execution_id = $1)
     where id = $1
"""

_FIGURES: Final = "select duration_s, tool_calls, tokens from executions where id = $1"

_LOCK: Final = """
    select user_id, thread_id, input, agent, request_id, status, owner, next_seq
      from executions where id = $1 for update
"""

_NEXT_SEQ: Final = """
    update executions set next_seq = next_seq + 1, tokens = coalesce(tokens, 0) + $2
     where id = $1 and ($3::bigint is null or (status = 'active' and owner = $3))
    returning next_seq - 1
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What an agent is run on, for whom; it is passed along, and nobody looks it up."""

    id: str
    user: str
    thread: str
    text: str
    agent: str
    request: str | None = None
    """The sender's id of the message that it answers."""


@dataclass(frozen=True, slots=True)
class Locked:
    """An execution whose row is locked until the transaction ends."""

    run: Run
    state: ExecutionState
    owner: int | None
    next_seq: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What a completed execution took."""

    duration_s: float
    tool_calls: int
    tokens: int


class RunLost(Exception):
    """Another process, or its user, has taken a run away from who worked on it."""


class Executions:
    """The states of executions: by themselves (the seam's `Lifecycle`), and within a transaction.

    A change that may not follow raises `Rejected`, one of another's execution `Denied`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, user: str, thread: str) -> str:
        """An execution in the state created; its id. `Denied` when the thread is not the user's."""
        run = Run(ExecutionID.new(), user, thread, text="", agent="")
        async with self._store.transaction(user) as transaction:
            await self.insert(transaction, run, owner=None)
        return run.id

    async def move(self, user: str, execution: str, state: ExecutionState) -> None:
        """Bring an execution into another state, in one statement, so that of rivals one wins."""
        async with self._store.transaction(user) as transaction:
            match state:
                case ExecutionState.CREATED:
                    await self._set(transaction, _CREATE, execution)
                case ExecutionState.ACTIVE:
                    await self._set(transaction, _ACTIVATE, execution, None)
                case ExecutionState.SUSPENDED:
                    await self._set(transaction, _SUSPEND, execution)
                case ExecutionState.COMPLETED:
                    await self._set(transaction, _COMPLETE, execution, None, {})
                case ExecutionState.FAILED:
                    await self._set(transaction, _FAIL, execution, "Failed", "by its user's word")
                case ExecutionState.CANCELLED:
                    await self._set(transaction, _CANCEL, execution)

    async def insert(self, transaction: UserTransaction, run: Run, owner: int | None) -> bool:
        """Store a run as created; False when the user has one for the same request already.

        Raises `Denied` when its thread is not the user's.
        """
        with refusals(denied=no_such(run.user, "thread", run.thread)):
            inserted = await transaction.execute(
                _INSERT, run.id, run.user, run.thread, run.request, run.agent, run.text, owner
            )
        return bool(inserted)

    async def of_request(
        self, transaction: UserTransaction, request: str
    ) -> tuple[str, ExecutionState]:
        """The run that answers a request, and its state; `Denied` when there is none."""
        rows = await transaction.fetch(_OF_REQUEST, request)
        if not rows:
            raise Denied(no_such(transaction.user, "run for message", request))
        [(run, state)] = rows
        return str(run), ExecutionState(state)

    async def lock(self, transaction: UserTransaction, execution: str) -> Locked:
        """An execution as it stands, and will stand until the transaction ends; or `Denied`."""
        with refusals(denied=no_such(transaction.user, "run", execution)):
            rows = await transaction.fetch(_LOCK, execution)
        if not rows:
            raise Denied(no_such(transaction.user, "run", execution))
        user, thread, text, agent, request, state, owner, next_seq = rows[0]
        run = Run(execution, user, thread, text, agent, request)
        return Locked(run, ExecutionState(state), owner, next_seq)

    async def begin(self, transaction: UserTransaction, execution: str, owner: int) -> None:
        """Make it active, as the work of the process with the key `owner`."""
        await self._set(transaction, _ACTIVATE, execution, owner)

    async def suspend(self, transaction: UserTransaction, execution: str) -> None:
        """Make it suspended: any process may go on with it."""
        await self._set(transaction, _SUSPEND, execution)

    async def finish(
        self,
        transaction: UserTransaction,
        execution: str,
        message: str,
        output: Mapping[str, JsonValue],
    ) -> None:
        """Complete it with its output and the assistant's message that holds the answer."""
        await self._set(transaction, _COMPLETE, execution, message, dict(output))

    async def figures(self, transaction: UserTransaction, execution: str) -> Figures:
        """What a completed execution took."""
        [(duration_s, tool_calls, tokens)] = await transaction.fetch(_FIGURES, execution)
        return Figures(duration_s, tool_calls, tokens)

    async def fail(
        self, transaction: UserTransaction, execution: str, kind: str, text: str
    ) -> None:
        """Make it failed, of an error of this kind and text."""
        await self._set(transaction, _FAIL, execution, kind, text)

    async def cancel(self, transaction: UserTransaction, execution: str) -> None:
        """Make it cancelled."""
        await self._set(transaction, _CANCEL, execution)

    async def next_seq(
        self, transaction: UserTransaction, execution: str, owner: int | None, tokens: int = 0
    ) -> int:
        """Take the number of the run's next event, and add tokens that a model used.

        No number is lost or taken twice: the row stays locked until the transaction ends. Raises
        `RunLost` when the execution is not active, or not the work of `owner`; None is whoever
        holds its lock.
        """
        rows = await transaction.fetch(_NEXT_SEQ, execution, tokens, owner)
        if not rows:
            raise RunLost(f"run {execution!r} is no longer active here")
        [(seq,)] = rows
        return int(seq)

    async def _set(self, transaction: UserTransaction, sql: str, *arguments: object) -> None:
        """Change the one execution whose id is `$1` of the statement."""
        with refusals():
            if not await transaction.execute(sql, *arguments):
                raise Denied(no_such(transaction.user, "run", str(arguments[0])))
