"""Messages from outside become runs: received, validated, persisted, routed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

from labkit.errors import Denied, Rejected, ServiceUnavailable
from labkit.ids import ExecutionID
from labkit.reference.data.stages import Stages
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.agents import USUAL
from labkit.reference.execution.engine import Engine
from labkit.reference.execution.executions import Executions, Run
from labkit.targets.pipeline import ExecutionState

LONGEST_TEXT: Final = 16_000
"""How many characters a message may have."""

LONGEST_NAME: Final = 200
"""How many characters a message's id, a thread's and an agent's name may have."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as a client sent it, for the user that its token names."""

    user: str
    thread: str
    text: str
    message: str
    """The sender's own id of it."""
    agent: str | None = None
    """The usual one where it is None."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a message."""

    run: str
    is_new: bool
    """False when the message had been accepted before, and nothing was started."""


@dataclass(frozen=True, slots=True)
class _Times:
    """When a message came to its first stages, by the monotonic clock, in seconds."""

    received: float
    validated: float


class Intake:
    """Takes messages into the platform."""

    def __init__(
        self, store: Store, executions: Executions, stages: Stages, engine: Engine, owner: int
    ) -> None:
        self._store = store
        self._executions = executions
        self._stages = stages
        self._engine = engine
        self._owner = owner

    async def accept(self, incoming: Incoming) -> Accepted:
        """Store a message with the run that answers it, and start that.

        The same message id from the same user again gives the same run, and starts nothing but a
        run that was stored and not begun: that of a sender who was never answered. Raises `Denied`
        when the thread is not the user's, `Rejected` with the reason when the message is not valid;
        then nothing is stored. A commit whose answer is lost is looked for; `ServiceUnavailable`
        when it is not found, or the database is away.
        """
        received = time.monotonic()
        self._validate(incoming)
        times = _Times(received, time.monotonic())
        run = Run(
            ExecutionID.new(),
            incoming.user,
            incoming.thread,
            incoming.text,
            incoming.agent or USUAL,
            incoming.message,
        )
        earlier: tuple[str, ExecutionState] | None = None
        is_at_commit = False
        try:
            async with self._store.transaction(run.user) as transaction:
                if await self._executions.insert(transaction, run, self._owner):
                    await self._persist(transaction, run, times)
                    await self._stages.reached(transaction, incoming.message, "routed")
                else:
                    earlier = await self._executions.of_request(transaction, incoming.message)
                is_at_commit = earlier is None
        except (ServiceUnavailable, TimeoutError):
            if not (is_at_commit and await self._is_stored(run)):
                raise
        if earlier is not None:
            return await self._again(run.user, *earlier)
        self._engine.start(run)
        return Accepted(run.id, is_new=True)

    async def _is_stored(self, run: Run) -> bool:
        """Whether a run was committed, though the answer to that was lost."""
        try:
            async with self._store.transaction(run.user) as transaction:
                stored, _ = await self._executions.of_request(transaction, str(run.request))
        except Denied:
            return False
        return stored == run.id

    async def _again(self, user: str, run: str, state: ExecutionState) -> Accepted:
        """The run of a message that was stored before; it is begun where nobody does that."""
        if state is ExecutionState.CREATED:
            try:
                await self._engine.resume(user, run)
            except Rejected as refusal:
                _log.info("a message came again, and its run is left as it is: %s", refusal)
        return Accepted(run, is_new=False)

    def _validate(self, incoming: Incoming) -> None:
        """Raise `Rejected` with the first reason against a message."""
        if self._engine.is_closing:
            raise Rejected("this process is stopping and takes no more messages: ask another one")
        for name, text, longest in (
            ("text", incoming.text, LONGEST_TEXT),
            ("id", incoming.message, LONGEST_NAME),
            ("thread", incoming.thread, LONGEST_NAME),
            ("agent", incoming.agent or USUAL, LONGEST_NAME),
        ):
            _check(name, text, longest)

    async def _persist(self, transaction: UserTransaction, run: Run, times: _Times) -> None:
        """Store the message, and when it came to the stages up to this one."""
        message = str(run.request)
        await transaction.add_message(run.thread, run.text, request=message)
        now = time.monotonic()
        stages = self._stages
        await stages.reached(transaction, message, "received", ago_s=now - times.received)
        await stages.reached(transaction, message, "validated", ago_s=now - times.validated)
        await stages.reached(transaction, message, "persisted")


def _check(name: str, text: str, longest: int) -> None:
    """Raise `Rejected` unless it is a text that can be stored, and neither empty nor too long."""
    if not text.strip():
        raise Rejected(f"the message's {name} is empty")
    if len(text) > longest:
        raise Rejected(
            f"the message's {name} has {len(text):,} characters, and {longest:,} are allowed"
        )
    if "\0" in text or not _is_storable(text):
        raise Rejected(f"the message's {name} holds a character that no text can hold")


def _is_storable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False
    return True
