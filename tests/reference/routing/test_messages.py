"""Messages go in and are paged out, and what is said of quality comes to its user's metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest

from labkit.errors import Denied, Rejected
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.clock import SteadyClock
from labkit.reference.data.outbox import Outbox
from labkit.reference.routing.intake import Incoming, Intake
from labkit.reference.routing.messages import MessageRouting
from labkit.reference.routing.quality import Quality
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState
from labkit.targets.routing import QualityMetrics
from tests.reference.stage import asynchronous
from tests.reference.works import Place, Works, works


@dataclass
class Inside:
    """Hands messages to an intake in this process, with no wire between."""

    intake: Intake

    async def send(self, user: str, thread: str, text: str, *, message: str) -> str:
        """The run that answers the message."""
        return (await self.intake.accept(Incoming(user, thread, text, message))).run


@asynccontextmanager
async def routing_on(lease: Lease) -> AsyncIterator[tuple[Works, MessageRouting]]:
    """The platform's routing, and the works behind it."""
    async with works(lease) as at_work, aclosing(redis_client(lease.redis_url)) as redis:
        keys = KeySpace(lease.redis_prefix)
        quality = Quality(at_work.data, Outbox(), redis, keys, SteadyClock())
        sender = Inside(at_work.workshop.intake)
        yield at_work, MessageRouting(sender, at_work.history, quality)


async def texts(routing: MessageRouting, place: Place, limit: int = 50) -> list[str]:
    """All texts of the place's thread, page by page."""
    found, after = list[str](), None
    while True:
        page = await routing.messages(place.user, place.thread, after=after, limit=limit)
        assert len(page.messages) <= limit
        found += [message.text for message in page.messages]
        if (after := page.next) is None:
            return found


@asynchronous
async def test_a_message_is_answered_once_however_often_it_is_sent(installed: Lease) -> None:
    """The same id gives the same run; the thread holds the message and one answer."""
    async with routing_on(installed) as (at_work, routing):
        place = await at_work.place()
        sending = (routing.send(place.user, place.thread, "hello", message="m1") for _ in range(5))
        runs = set(await asyncio.gather(*sending))
        assert len(runs) == 1
        assert (await at_work.ended(place, runs.pop())).state is ExecutionState.COMPLETED
        assert (await texts(routing, place))[0] == "hello"
        assert len(await texts(routing, place)) == 2


@asynchronous
async def test_pages_of_any_size_hold_each_message_once(installed: Lease) -> None:
    """Also while the thread grows; without a cursor it is the first page."""
    async with routing_on(installed) as (at_work, routing):
        place = await at_work.place()
        for number in range(5):
            await at_work.data.add_message(place.user, place.thread, str(number))
        for limit in (1, 2, 5, 50):
            assert await texts(routing, place, limit) == list("01234")
        page = await routing.messages(place.user, place.thread, limit=2)
        await at_work.data.add_message(place.user, place.thread, "5")
        later = await routing.messages(place.user, place.thread, after=page.next)
        assert [message.text for message in (*page.messages, *later.messages)] == list("012345")


@asynchronous
async def test_another_gets_neither_page_nor_run(installed: Lease) -> None:
    """Sending into and reading another's thread are denied."""
    async with routing_on(installed) as (at_work, routing):
        place, other = await at_work.place(), await at_work.place()
        with pytest.raises(Denied):
            await routing.send(other.user, place.thread, "intruder", message="m1")
        with pytest.raises(Denied):
            await routing.messages(other.user, place.thread)
        with pytest.raises(Rejected, match="is empty"):
            await routing.send(place.user, place.thread, " ", message="m2")
        assert await texts(routing, place) == []


@asynchronous
async def test_quality_is_reported_and_measured(installed: Lease) -> None:
    """What is handed in is counted for its user; what is wrong is rejected."""
    async with routing_on(installed) as (at_work, routing):
        user, other = (await at_work.place()).user, (await at_work.place()).user
        handler = await routing.report(user, {"type": "report", "score": 0.87, "scores": {}})
        with pytest.raises(Rejected, match="the type 'rumour' is unknown"):
            await routing.report(user, {"type": "rumour"})
        assert handler == "report"
        assert await routing.metrics(user) == QualityMetrics(0.87, 0, None)
        assert await routing.metrics(other) == QualityMetrics(None, 0, None)
