"""The outbox: an event leaves with what it tells of, or not at all."""

import json

import pytest

from labkit.errors import Rejected
from labkit.events import Event, EventType
from labkit.reference.data.outbox import Outbox
from labkit.reference.data.store import Store
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user, opened, witness
from tests.reference.works import rows

STORED = "select run_id, message_id, event::text from outbox where user_id = $1 order by position"


def told(user: str, seq: int) -> Event:
    """An event of a run."""
    return Event(EventType.AGENT_THINKING, user, ts=12, seq=seq, run="run", data={"a": [1, "ü"]})


@asynchronous
async def test_an_event_is_stored_as_its_envelope(installed: Lease) -> None:
    """In the order in which it was appended, with the message that it answers."""
    async with opened(installed) as data:
        user = await new_user(data)
        async with data.transaction(user) as transaction:
            await Outbox().append(transaction, told(user, 0))
            await Outbox().append(transaction, told(user, 1), message="asked")
    stored = await rows(installed, STORED, user)
    assert [row[:2] for row in stored] == [("run", None), ("run", "asked")]
    envelopes = [json.loads(str(event)) for _, _, event in stored]
    assert envelopes == [told(user, 0).to_json(), told(user, 1).to_json()]


@asynchronous
async def test_an_event_of_a_transaction_that_is_undone_never_leaves(installed: Lease) -> None:
    """It is gone with what it told of."""
    async with opened(installed) as data:
        user = await new_user(data)
        with pytest.raises(Rejected, match="already exists"):
            await tell_and_fail(data, user)
    assert await rows(installed, STORED, user) == []


async def tell_and_fail(data: Store, user: str) -> None:
    """A transaction that tells, and then cannot commit."""
    async with data.transaction(user) as transaction:
        await Outbox().append(transaction, told(user, 0))
        await transaction.create_user(user)


@asynchronous
async def test_the_relay_is_called_at_the_commit(installed: Lease) -> None:
    """Who listens hears of it, and not before the event can be seen."""
    heard: list[bool] = []
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        await owner.add_listener("outbox", lambda *_: heard.append(True))
        async with data.transaction(user) as transaction:
            await Outbox().append(transaction, told(user, 0))
            await owner.execute("select 1")
            before = list(heard)
        await owner.execute("select 1")
    assert (before, heard) == ([], [True])
