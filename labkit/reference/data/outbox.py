"""Events leave the platform only with what they tell of: they are stored in its transaction."""

from __future__ import annotations

from typing import Final

from labkit.events import Event
from labkit.reference.data.transactions import UserTransaction

_APPEND: Final = """
    insert into outbox (user_id, run_id, message_id, event) values ($1, $2, $3, $4)
"""


class Outbox:
    """Where events wait for the relay, in the order of their commits within a run."""

    async def append(
        self, transaction: UserTransaction, event: Event, *, message: str | None = None
    ) -> None:
        """Let an event leave when the transaction commits, and never when it does not.

        `message` is the sender's id of the message that the event answers in the end; when the
        event has been published, that message has reached its last stage.
        """
        await transaction.execute(_APPEND, transaction.user, event.run, message, event.to_json())
