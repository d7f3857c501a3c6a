"""What is stored of runs and messages, read back as their user may see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from labkit.errors import Denied, Rejected
from labkit.reference.data.refusals import no_such
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.targets.pipeline import ExecutionState, MessageView, Role, RunView
from labkit.targets.routing import Page

LONGEST_PAGE: Final = 1_000
"""The most messages of one page."""

LONGEST_INPUT: Final = 100_000
"""How many characters a model is given at most; the oldest messages are left out."""

_RUNS: Final = """
    select id, user_id, thread_id, status, coalesce(error_kind || ': ' || error_text, '')
      from executions {where} order by position
"""

_MESSAGES: Final = """
    select id, role, text, call_id from messages where thread_id = $1 order by position
"""

_PAGE: Final = """
    select id, role, text, call_id from messages
     where thread_id = $1 and position > $2 order by position limit $3
"""

_CURSOR: Final = "select position from messages where thread_id = $1 and id = $2"

_LAST: Final = """
    select role, text from messages where thread_id = $1 order by position desc limit 1000
"""


class History:
    """What a user's threads hold."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def runs(self, user: str, thread: str) -> Sequence[RunView]:
        """The runs on a thread, oldest first; `Denied` when the thread is not the user's."""
        async with self._store.transaction(user) as transaction:
            await _own(transaction, thread)
            return _run_views(
                await transaction.fetch(_RUNS.format(where="where thread_id = $1"), thread)
            )

    async def all_runs(self, user: str) -> Sequence[RunView]:
        """The user's runs on all threads, oldest first."""
        async with self._store.transaction(user) as transaction:
            return await self.runs_within(transaction)

    async def runs_within(self, transaction: UserTransaction) -> Sequence[RunView]:
        """The same, as a transaction of the user sees it."""
        return _run_views(await transaction.fetch(_RUNS.format(where="")))

    async def messages(self, user: str, thread: str) -> Sequence[MessageView]:
        """The thread's messages, oldest first; `Denied` when the thread is not the user's."""
        async with self._store.transaction(user) as transaction:
            return await self.messages_within(transaction, thread)

    async def messages_within(
        self, transaction: UserTransaction, thread: str
    ) -> Sequence[MessageView]:
        """The same, as a transaction of the user sees it."""
        await _own(transaction, thread)
        return _message_views(await transaction.fetch(_MESSAGES, thread))

    async def page(self, user: str, thread: str, after: str | None, limit: int) -> Page:
        """At most `limit` messages after the one whose id is the cursor `after`, oldest first.

        Messages of a thread become visible in the order of their positions, so pages neither repeat
        nor drop. Raises `Denied` for a thread that is not the user's, `Rejected` for a cursor that
        is no message of the thread and for a limit outside of 1 to `LONGEST_PAGE`.
        """
        if not 1 <= limit <= LONGEST_PAGE:
            raise Rejected(f"a page has 1 to {LONGEST_PAGE} messages, not {limit}")
        async with self._store.transaction(user) as transaction:
            await _own(transaction, thread)
            position = await self._position(transaction, thread, after)
            rows = await transaction.fetch(_PAGE, thread, position, limit + 1)
        messages = _message_views(rows[:limit])
        return Page(messages, messages[-1].id if len(rows) > limit else None)

    async def _position(self, transaction: UserTransaction, thread: str, cursor: str | None) -> int:
        if cursor is None:
            return 0
        rows = [] if "\0" in cursor else await transaction.fetch(_CURSOR, thread, cursor)
        if not rows:
            raise Rejected(f"{cursor!r:.80} is no cursor of thread {thread!r}: use a page's `next`")
        return int(rows[0][0])


async def model_input(transaction: UserTransaction, thread: str) -> str:
    """What a model is given of a thread: its last messages, oldest first, `role: text` each."""
    lines: list[str] = []
    length = 0
    for role, text in await transaction.fetch(_LAST, thread):
        lines.append(f"{role}: {text}")
        length += len(lines[-1])
        if length > LONGEST_INPUT and len(lines) > 1:
            lines.pop()
            break
    return "\n".join(reversed(lines))


async def _own(transaction: UserTransaction, thread: str) -> None:
    """Raise `Denied` unless the thread is the acting user's."""
    found = "\0" not in thread and await transaction.fetch(
        "select from threads where id = $1", thread
    )
    if not found:
        raise Denied(no_such(transaction.user, "thread", thread))


def _run_views(rows: Iterable[tuple[Any, ...]]) -> list[RunView]:
    return [
        RunView(run, user, thread, ExecutionState(state), error)
        for run, user, thread, state, error in rows
    ]


def _message_views(rows: Iterable[tuple[Any, ...]]) -> list[MessageView]:
    return [MessageView(message, Role(role), text, call) for message, role, text, call in rows]
