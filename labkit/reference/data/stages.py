"""How far a message is on its way through the platform, written down as it gets there."""

from __future__ import annotations

from typing import Final

from labkit.reference.data.transactions import UserTransaction

_REACHED: Final = """
    insert into stages (message_id, user_id, stage, at)
    values ($1, $2, $3, clock_timestamp() - make_interval(secs => $4))
    on conflict do nothing
"""


class Stages:
    """Writes stages, each by the database's clock, which is one for all processes."""

    async def reached(
        self, transaction: UserTransaction, message: str, stage: str, *, ago_s: float = 0.0
    ) -> None:
        """Note that the sender's message `message` reached a stage, `ago_s` seconds ago.

        The first time counts: a run that is resumed does not move it.
        """
        await transaction.execute(_REACHED, message, transaction.user, stage, ago_s)
