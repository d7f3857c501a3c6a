"""The intake: what is valid is stored with its run at once, all else not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pytest

from labkit.errors import Denied, Rejected, ServiceUnavailable
from labkit.faults.detours import postgres_detour
from labkit.faults.flow import Direction
from labkit.faults.gates import Gate
from labkit.faults.proxy import TcpProxy
from labkit.reference.routing.intake import LONGEST_NAME, LONGEST_TEXT, Accepted, Incoming
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState
from labkit.targets.routing import STAGES
from tests.reference.stage import asynchronous, new_user
from tests.reference.works import Place, Works, rows, until, works

REACHED = "select stage from stages where user_id = $1 and message_id = $2 order by at, stage"

STORED = """
    select (select count(*) from messages where user_id = $1)
         + (select count(*) from executions where user_id = $1)
         + (select count(*) from stages where user_id = $1)
         + (select count(*) from outbox where user_id = $1)
"""


@asynchronous
async def test_a_message_reaches_its_stages_in_order(installed: Lease) -> None:
    """By the database's clock; the last one, `notified`, is for who delivers the answer."""
    async with works(installed) as at_work:
        place = await at_work.place()
        accepted = await at_work.send(place, "lookup x", message="first")
        view = await at_work.ended(place, accepted.run)
    assert view.state is ExecutionState.COMPLETED
    reached = await rows(installed, REACHED, place.user, "first")
    assert [stage for (stage,) in reached] == list(STAGES[:-1])


@asynchronous
async def test_a_failed_message_was_executed_and_not_answered(installed: Lease) -> None:
    """Its stages end where it failed."""
    async with works(installed) as at_work:
        place = await at_work.place()
        accepted = await at_work.send(place, "modeldown", message="first")
        await at_work.ended(place, accepted.run)
    reached = await rows(installed, REACHED, place.user, "first")
    assert [stage for (stage,) in reached] == list(STAGES[:5])


@asynchronous
async def test_the_same_message_again_starts_nothing(installed: Lease) -> None:
    """Ten times at once: one is new, and all are told the same run."""
    async with works(installed) as at_work:
        place = await at_work.place()
        sent = await asyncio.gather(
            *(at_work.send(place, "lookup x", message="same") for _ in range(10))
        )
        await at_work.ended(place, sent[0].run)
        again = await at_work.send(place, "something else", message="same")
        messages = await at_work.history.messages(place.user, place.thread)
    assert sorted(accepted.is_new for accepted in sent) == [*[False] * 9, True]
    assert {accepted.run for accepted in (*sent, again)} == {sent[0].run}
    assert [message.text for message in messages if message.role == "user"] == ["lookup x"]


@dataclass(frozen=True)
class Unanswered:
    """A message that is committed, and an answer to that which is held on its way."""

    works: Works
    place: Place
    proxy: TcpProxy
    gate: Gate
    sending: asyncio.Task[Accepted]


@asynccontextmanager
async def unanswered_commit(lease: Lease) -> AsyncIterator[Unanswered]:
    """A message's commit, of which nobody has learned yet."""
    async with (
        postgres_detour(lease.platform_url, random=Random(1)) as detour,
        works(replace(lease, platform_url=detour.url)) as at_work,
    ):
        place = await at_work.place()
        gate = detour.proxy.hold(Direction.DOWNSTREAM, when=b"COMMIT")
        sending = asyncio.create_task(at_work.send(place, "hello", message="first"))

        async def stored() -> bool | None:
            return bool(await rows(lease, REACHED, place.user, "first")) or None

        await until(stored)
        yield Unanswered(at_work, place, detour.proxy, gate, sending)


@asynchronous
async def test_a_message_whose_commit_is_not_answered_is_executed(installed: Lease) -> None:
    """The connection was lost before anybody learned of the commit; nobody need ask again."""
    async with unanswered_commit(installed) as commit:
        at_work, place = commit.works, commit.place
        await commit.proxy.cut()
        commit.proxy.remove(commit.gate)
        accepted = await commit.sending
        view = await at_work.ended(place, accepted.run)
        runs = await at_work.history.runs(place.user, place.thread)
    assert accepted.is_new
    assert view.state is ExecutionState.COMPLETED
    assert len(runs) == 1


@asynchronous
async def test_a_message_whose_commit_never_came_is_not_taken(installed: Lease) -> None:
    """Its sender gets the error, and nothing is stored."""
    async with (
        postgres_detour(installed.platform_url, random=Random(1)) as detour,
        works(replace(installed, platform_url=detour.url)) as at_work,
    ):
        place = await at_work.place()
        gate = detour.proxy.hold(Direction.UPSTREAM, when=b"Q\0\0\0\x0bcommit")
        sending = asyncio.create_task(at_work.send(place, "hello", message="first"))
        assert await gate.held(deadline_s=15)
        await detour.proxy.cut()
        detour.proxy.remove(gate)
        with pytest.raises(ServiceUnavailable, match="was lost"):
            await sending
    assert await rows(installed, STORED, place.user) == [(0,)]


@asynchronous
async def test_a_message_whose_sender_was_not_answered_is_executed_when_it_comes_again(
    installed: Lease,
) -> None:
    """It was committed, and the database away before anybody learned of that."""
    async with unanswered_commit(installed) as commit:
        at_work, place = commit.works, commit.place
        await commit.proxy.down()
        commit.proxy.remove(commit.gate)
        with pytest.raises(ServiceUnavailable):
            await commit.sending
        await commit.proxy.up()
        again = await at_work.send(place, "hello", message="first")
        view = await at_work.ended(place, again.run)
        assert (await at_work.send(place, "hello", message="first")).run == again.run
        runs = await at_work.history.runs(place.user, place.thread)
    assert not again.is_new
    assert view.state is ExecutionState.COMPLETED
    assert len(runs) == 1


@asynchronous
async def test_a_message_into_anothers_thread_is_denied(installed: Lease) -> None:
    """In the same words as for a thread that does not exist, and nothing is stored."""
    async with works(installed) as at_work:
        place, stranger = await at_work.place(), await new_user(at_work.data)
        told: list[str] = []
        for thread in (place.thread, place.thread[::-1]):
            with pytest.raises(Denied) as refused:
                await at_work.send(Place(stranger, thread), "hello")
            told.append(str(refused.value))
    assert told[0].replace(place.thread, place.thread[::-1]) == told[1]
    assert await rows(installed, STORED, stranger) == [(0,)]


INVALID = {
    "text is empty": ("", "id", None),
    "text is empty ": (" \n", "id", None),
    "text has 16,001 characters": ("x" * (LONGEST_TEXT + 1), "id", None),
    "text holds a character": ("a\0b", "id", None),
    "text holds a character ": ("half \ud800", "id", None),
    "id is empty": ("hello", "", None),
    "id has 201 characters": ("hello", "x" * (LONGEST_NAME + 1), None),
    "id holds a character": ("hello", "\0", None),
    "agent has 201 characters": ("hello", "id", "x" * (LONGEST_NAME + 1)),
    "agent holds a character": ("hello", "id", "a\0"),
}


@pytest.mark.parametrize(("reason", "parts"), INVALID.items(), ids=INVALID)
@asynchronous
async def test_an_invalid_message_is_rejected_and_not_stored(
    installed: Lease, reason: str, parts: tuple[str, str, str | None]
) -> None:
    """With the reason; no row of any kind is left."""
    text, message, agent = parts
    async with works(installed) as at_work:
        place = await at_work.place()
        incoming = Incoming(place.user, place.thread, text, message, agent)
        with pytest.raises(Rejected, match=reason.strip()):
            await at_work.workshop.intake.accept(incoming)
    assert await rows(installed, STORED, place.user) == [(0,)]


@pytest.mark.parametrize("thread", ["", "a\0b"])
@asynchronous
async def test_a_thread_that_cannot_be_is_rejected(installed: Lease, thread: str) -> None:
    """Without asking the database."""
    async with works(installed) as at_work:
        place = await at_work.place()
        with pytest.raises(Rejected, match="the message's thread"):
            await at_work.send(Place(place.user, thread), "hello")


@asynchronous
async def test_the_longest_message_is_taken(installed: Lease) -> None:
    """And answered."""
    async with works(installed) as at_work:
        place = await at_work.place()
        view = await at_work.run(place, "ü" * LONGEST_TEXT)
    assert view.state is ExecutionState.COMPLETED
