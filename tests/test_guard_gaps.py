"""What a target lacks skips a check where it is declared, and breaks it where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from labkit.checks import Check
from labkit.errors import NotDeclared
from labkit.guard import Seam
from labkit.records import Outcome
from labkit.skips import SkipCheck
from labkit.targets.protocols import Capability, Target
from tests.check_pages import holds, said
from tests.guarded_target import Body, Part, Small, record_of, unseen


@dataclass
class WithData(Small):
    """The small target with data access."""

    data: str = "some"


class Bookless:
    """A user's context that cannot remember, and one method that is not written."""

    async def write(self) -> str:
        """What every context can."""
        return "written"

    async def submit(self) -> None:
        """Not written."""
        raise NotImplementedError


class Openings:
    """Makes them."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Bookless]:
        """A context for the block."""
        yield Bookless()


@dataclass
class WithContexts(Small):
    """The small target with contexts."""

    contexts: Openings = field(default_factory=Openings)


async def _awaiting(act: Callable[[], Awaitable[None]]) -> None:
    await act()


# What it lacks ------------------------------------------------------------------------------------


def test_what_is_touched_is_noted_once_and_in_order() -> None:
    """Methods and tables that the body touched are the needs in its record."""

    async def body(check: Check, seam: Seam) -> None:
        await holds(check)
        cache = seam.part(Capability.CACHE)
        for _ in range(2):
            await cache.extend()
            assert seam.tables().users == "people"
        assert cache.size == 4

    needs = record_of(Small(Part()), body).needs
    assert needs == ("cache.extend", "tables.users", "cache.size")


async def touch_the_part(_check: Check, seam: Seam) -> None:
    """The part alone, as a notebook does to give it a name."""
    seam.part(Capability.CACHE)


async def touch_the_method(_check: Check, seam: Seam) -> None:
    """A method of the part."""
    await seam.part(Capability.CACHE).extend()


@pytest.mark.parametrize(
    ("lacking", "body", "reason"),
    [
        (Capability.CACHE, touch_the_part, "lacks-cache"),
        (Capability.CACHE, touch_the_method, "lacks-cache"),
        (Capability.CACHE_EXTEND, touch_the_method, "lacks-cache.extend"),
    ],
)
def test_a_declared_gap_skips_at_the_first_touch(
    lacking: Capability, body: Body, reason: str
) -> None:
    """A part or a method that is declared as lacking skips the check with the target's reason."""
    target = Small(Part(), lacks={lacking: "nobody asked for it"})
    record = record_of(target, body)
    assert said(Outcome.SKIPPED, reason, record)
    assert record.detail.endswith("nobody asked for it")
    assert record.needs == (reason.removeprefix("lacks-"),)


def test_outside_of_a_check_nothing_is_skipped_until_a_method_is_touched() -> None:
    """A name for a part that is given outside of a check skips the check that uses it."""
    target = Small(Part(), lacks={Capability.CACHE: "nobody asked for it"})
    outside = Seam(cast(Target, target), lambda: None).part(Capability.CACHE)
    with pytest.raises(SkipCheck):
        _ = outside.extend


@pytest.mark.parametrize(
    "touch",
    [
        lambda seam: seam.part(Capability.DATA),
        lambda seam: seam.part(Capability.ROUTING),
        lambda seam: seam.part(Capability.CACHE).nothing,
        lambda seam: seam.part(Capability.CACHE).absent,
        lambda seam: seam.part(Capability.CACHE).missing(),
    ],
)
def test_a_gap_that_is_not_declared_breaks_the_check(touch: Callable[[Seam], object]) -> None:
    """What is absent, None or not written is told as a fault of the target's."""

    async def body(_check: Check, seam: Seam) -> None:
        touch(seam)

    record = record_of(Small(Part()), body)
    assert said(Outcome.BROKEN, "exception", record)
    assert "NotDeclared: target small lacks" in record.detail


def test_a_gap_that_shows_late_is_none_the_less_one() -> None:
    """A method that raises once it is awaited, entered or iterated lacks just as much."""

    async def main() -> None:
        seen = unseen(Part())
        with pytest.raises(NotDeclared, match=r"lacks cache.missing_later .* name cache in"):
            await seen.missing_later()
        with pytest.raises(NotDeclared, match=r"lacks cache.missing_block"):
            async with seen.missing_block():
                pass
        with pytest.raises(NotDeclared, match=r"lacks cache.missing_steps"):
            await anext(seen.missing_steps())

    asyncio.run(main())


@pytest.mark.parametrize("lacking", [Capability.CONTEXTS_REMEMBER, Capability.CONTEXTS_SUBMIT])
def test_a_method_of_a_context_can_be_declared_as_lacking(lacking: Capability) -> None:
    """Touching it on the context that a block yields skips the check, with the target's reason."""

    async def body(_check: Check, seam: Seam) -> None:
        async with seam.part(Capability.CONTEXTS).open() as context:
            assert await context.write() == "written"
            await getattr(context, lacking.value.partition(".")[2])()

    target = WithContexts(Part(), lacks={lacking: "nobody asked for it"})
    record = record_of(target, body)
    assert said(Outcome.SKIPPED, f"lacks-{lacking}", record)
    assert record.detail.endswith("nobody asked for it")
    assert record.needs == ("contexts.open", "contexts.write", lacking.value)


@pytest.mark.parametrize("method", ["remember", "submit"])
def test_a_whole_part_that_is_lacking_excuses_no_method_of_a_context(method: str) -> None:
    """That there is no cache or pipeline leaves a context's own methods to be declared."""

    async def body(_check: Check, seam: Seam) -> None:
        async with seam.part(Capability.CONTEXTS).open() as context:
            await getattr(context, method)()

    parts = (Capability.CACHE, Capability.PIPELINE, Capability.NOTIFICATIONS)
    record = record_of(WithContexts(Part(), lacks=dict.fromkeys(parts, "it has none")), body)
    assert said(Outcome.BROKEN, "exception", record)
    assert f"name contexts.{method} in the target's `lacks`" in record.detail


def test_a_table_that_is_not_there_skips() -> None:
    """Looking where the target has no table skips with the reason; the name itself is given."""

    async def body(_check: Check, seam: Seam) -> None:
        assert seam.tables().users == "people"
        _ = seam.tables().threads

    record = record_of(Small(Part()), body)
    assert said(Outcome.SKIPPED, "lacks-tables.threads", record)
    assert "the target has no table for threads" in record.detail


# Isolation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", [Capability.CACHE, Capability.CACHE_EXTEND])
def test_isolation_is_not_skipped_where_the_part_is_there(lacking: Capability) -> None:
    """A target that has the part cannot say that it lacks it, or a method of it, here."""
    target = Small(Part(), lacks={lacking: "we would rather not"})
    record = record_of(target, touch_the_method, isolation=True)
    assert said(Outcome.BROKEN, "isolation-not-skippable", record)
    assert "we would rather not" in record.detail


def test_isolation_is_skipped_where_there_is_no_such_part() -> None:
    """What a target really lacks cannot leak."""

    async def body(_check: Check, seam: Seam) -> None:
        seam.part(Capability.ROUTING)

    target = Small(Part(), lacks={Capability.ROUTING: "it routes nothing"})
    assert said(Outcome.SKIPPED, "lacks-routing", record_of(target, body, isolation=True))


def test_isolation_is_not_skipped_for_want_of_a_table() -> None:
    """No missing table excuses a target that has the part by which it would be filled."""

    async def look(_check: Check, seam: Seam) -> None:
        _ = seam.tables().threads

    skipped, broken = "lacks-tables.threads", "isolation-not-skippable"
    assert said(Outcome.SKIPPED, skipped, record_of(Small(Part()), look, isolation=True))
    assert said(Outcome.BROKEN, broken, record_of(WithData(Part()), look, isolation=True))
    assert said(Outcome.SKIPPED, skipped, record_of(WithData(Part()), look))


def test_a_skip_by_several_tasks_is_one() -> None:
    """Tasks that meet gaps at the same time skip their check; any other error breaks it."""

    async def together(seam: Seam, *more: Callable[[], Awaitable[None]]) -> None:
        async def touch(part: Capability) -> None:
            seam.part(part)

        async with asyncio.TaskGroup() as group:
            group.create_task(touch(Capability.ROUTING))
            group.create_task(touch(Capability.CACHE))
            for one in more:
                group.create_task(_awaiting(one))

    async def skips(_check: Check, seam: Seam) -> None:
        await together(seam)

    async def fails(_check: Check, seam: Seam) -> None:
        await together(seam, Part().fail)

    lacks = {Capability.ROUTING: "it routes nothing", Capability.CACHE: "it forgets"}
    assert said(Outcome.SKIPPED, "lacks-cache", record_of(Small(Part(), lacks=lacks), skips))
    assert said(Outcome.BROKEN, "exception", record_of(Small(Part(), lacks=lacks), fails))
    record = record_of(Small(Part(), lacks=lacks), skips, isolation=True)
    assert said(Outcome.BROKEN, "isolation-not-skippable", record)
    assert "lacks cache: it forgets" in record.detail
