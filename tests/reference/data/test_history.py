"""History: everything of the user's own, in order, and nothing of another's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from labkit.errors import Denied, Rejected
from labkit.reference.data.history import LONGEST_INPUT, History, model_input
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import Role
from labkit.targets.routing import Page
from tests.reference.stage import asynchronous, new_user, opened
from tests.reference.works import Place, works


@asynchronous
async def test_runs_are_those_of_the_thread_or_of_all(installed: Lease) -> None:
    """Oldest first, each as its user sees it."""
    async with works(installed) as at_work:
        place, stranger = await at_work.place(), await at_work.place()
        other = Place(place.user, await at_work.data.create_thread(place.user, "other"))
        first, second = await at_work.run(place, "hello"), await at_work.run(other, "modeldown")
        await at_work.run(stranger, "hello")
        assert await at_work.history.runs(place.user, place.thread) == [first]
        assert await at_work.history.runs(place.user, other.thread) == [second]
        assert await at_work.history.all_runs(place.user) == [first, second]
    assert (first.user, first.thread, first.error) == (place.user, place.thread, "")
    assert second.error == "ModelDown: the model is down"


@asynchronous
async def test_anothers_thread_is_denied_as_one_that_is_not_there(installed: Lease) -> None:
    """For runs, messages and pages alike, also for an id that no database takes."""
    async with opened(installed) as data:
        history = History(data)
        user, stranger = await new_user(data), await new_user(data)
        thread = await data.create_thread(user, "private")

        async def page(user: str, thread: str) -> Page:
            return await history.page(user, thread, None, 10)

        reads: list[Callable[[str, str], Awaitable[object]]]
        reads = [history.runs, history.messages, page]
        for read in reads:
            for unseen in (thread, "thread_none", "a\0b"):
                with pytest.raises(Denied, match="has no thread") as refused:
                    await read(stranger, unseen)
                assert str(refused.value) == f"user {stranger!r} has no thread {unseen!r}"


@asynchronous
async def test_pages_neither_repeat_nor_drop_while_others_write(installed: Lease) -> None:
    """Messages that are committed late do not slip in behind a page that was read already."""
    async with opened(installed) as data:
        history, user = History(data), await new_user(data)
        thread = await data.create_thread(user, "talk")
        writers = [asyncio.create_task(write(data.add_message, user, thread)) for _ in range(3)]
        seen: list[str] = []
        cursor: str | None = None
        while not (is_last := all(writer.done() for writer in writers)) or len(seen) < 60:
            page = await history.page(user, thread, cursor, 7)
            seen += [message.id for message in page.messages]
            cursor = seen[-1] if seen else None
            assert not is_last or page.messages
        await asyncio.gather(*writers)
        stored = [message.id for message in await history.messages(user, thread)]
    assert seen == stored


async def write(
    add_message: Callable[[str, str, str], Awaitable[str]], user: str, thread: str
) -> None:
    """Twenty messages, one after the other."""
    for number in range(20):
        await add_message(user, thread, f"message {number}")


@asynchronous
async def test_the_last_page_says_that_it_is(installed: Lease) -> None:
    """Also when it is full, and when there is nothing at all."""
    async with opened(installed) as data:
        history, user = History(data), await new_user(data)
        thread = await data.create_thread(user, "talk")
        assert await history.page(user, thread, None, 2) == Page([], None)
        for number in range(4):
            await data.add_message(user, thread, str(number))
        first = await history.page(user, thread, None, 2)
        second = await history.page(user, thread, first.next, 2)
    assert [message.text for message in first.messages] == ["0", "1"]
    assert first.next == first.messages[-1].id
    assert [message.text for message in second.messages] == ["2", "3"]
    assert second.next is None


@pytest.mark.parametrize(
    ("after", "limit", "reason"),
    [
        (None, 0, "1 to 1000 messages, not 0"),
        (None, 1001, "not 1001"),
        ("message_none", 10, "'message_none' is no cursor"),
        ("a\0b", 10, "is no cursor"),
    ],
)
@asynchronous
async def test_a_cursor_or_limit_that_makes_no_sense_is_rejected(
    installed: Lease, after: str | None, limit: int, reason: str
) -> None:
    """With what was wrong."""
    async with opened(installed) as data:
        user = await new_user(data)
        thread = await data.create_thread(user, "talk")
        with pytest.raises(Rejected, match=reason):
            await History(data).page(user, thread, after, limit)


@asynchronous
async def test_a_cursor_of_another_thread_is_rejected(installed: Lease) -> None:
    """It would begin somewhere, and not where anybody has read."""
    async with opened(installed) as data:
        user = await new_user(data)
        thread, other = [await data.create_thread(user, title) for title in ("one", "two")]
        message = await data.add_message(user, other, "hello")
        with pytest.raises(Rejected, match="is no cursor of thread"):
            await History(data).page(user, thread, message, 10)


@asynchronous
async def test_a_model_is_given_the_newest_messages_that_fit(installed: Lease) -> None:
    """Oldest first; the last one is there even when it alone is too long."""
    async with opened(installed) as data:
        user = await new_user(data)
        thread = await data.create_thread(user, "talk")
        async with data.transaction(user) as transaction:
            for text in ("old", "x" * (LONGEST_INPUT - 100), "new"):
                await transaction.add_message(thread, text, role=Role.ASSISTANT)
            fitting = await model_input(transaction, thread)
            await transaction.add_message(thread, "y" * (LONGEST_INPUT + 1))
            long = await model_input(transaction, thread)
    assert fitting.splitlines() == [
        "assistant: old",
        f"assistant: {'x' * (LONGEST_INPUT - 100)}",
        "assistant: new",
    ]
    assert long == f"user: {'y' * (LONGEST_INPUT + 1)}"
