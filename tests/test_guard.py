"""What a platform opens while a check calls it is its own, and what it lacks shows as lacking."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, cast

import pytest

from labkit.checks import Check
from labkit.errors import NotDeclared
from labkit.guard import Seam, guarded_block
from labkit.hygiene import Watch, watching
from labkit.records import CheckRecord, Outcome
from labkit.skips import SkipCheck
from labkit.targets.protocols import Capability, Tables, Target
from tests.check_pages import Page, holds, said

PATH = "/nowhere/labkit.sock"


def connect(opened: list[socket.socket]) -> None:
    """A socket of which a connection was asked, as a watch notices it, and that stays open."""
    opened.append(socket.socket(socket.AF_UNIX))
    with pytest.raises(OSError, match="No such file"):
        opened[-1].connect(PATH)


@dataclass(frozen=True)
class Handle:
    """What a block of the part gives: a frozen value with doings."""

    part: Part
    user: str

    async def act(self) -> str:
        """Open."""
        self.part.open()
        return "acted"

    async def missing(self) -> None:
        """What nobody wrote."""
        raise NotImplementedError

    @asynccontextmanager
    async def nested(self) -> AsyncIterator[None]:
        """Open on entering."""
        self.part.open()
        yield


class Part:
    """A part of a target that keeps what it opens."""

    size = 4
    nothing = None

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.closed = 0

    def open(self) -> None:
        """Open a connection and start a task, both for longer."""
        connect(self.sockets)
        self.tasks.append(asyncio.create_task(_wait()))

    def call(self) -> str:
        """Open at once."""
        self.open()
        return "called"

    async def await_it(self) -> str:
        """Open once it is awaited, before and after a turn of the loop."""
        self.open()
        await asyncio.sleep(0)
        self.open()
        return "awaited"

    async def fail(self) -> None:
        """Raise."""
        raise LookupError("of the part")

    @asynccontextmanager
    async def block(self) -> AsyncIterator[Handle]:
        """Open on entering and on leaving."""
        self.open()
        try:
            yield Handle(self, "ann")
        finally:
            self.open()

    async def steps(self) -> AsyncIterator[int]:
        """Open in each step and at the end."""
        try:
            for number in range(3):
                self.open()
                yield number
        finally:
            self.open()
            self.closed += 1

    def stubborn(self) -> AsyncIterator[int]:
        """Steps that cannot be closed."""
        return Stubborn()

    def missing(self) -> None:
        """What nobody wrote."""
        raise NotImplementedError

    async def missing_later(self) -> None:
        """The same, once it is awaited."""
        raise NotImplementedError("not yet")

    @asynccontextmanager
    async def missing_block(self) -> AsyncIterator[None]:
        """The same, once it is entered."""
        await self.missing_later()
        yield

    async def missing_steps(self) -> AsyncIterator[int]:
        """The same, at the first step."""
        await self.missing_later()
        yield 0

    async def extend(self) -> str:
        """A method that can be declared as lacking."""
        return "extended"

    async def close(self) -> None:
        """Close everything."""
        for opened in self.sockets:
            opened.close()
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


class Stubborn:
    """An iterator whose end raises."""

    def __aiter__(self) -> Stubborn:
        return self

    async def __anext__(self) -> int:
        return 0

    async def aclose(self) -> None:
        """Refuse."""
        raise LookupError("it does not close")


@dataclass
class Small:
    """A target with one part, its cache, and one table."""

    cache: Part
    name: str = "small"
    lacks: Mapping[Capability, str] = field(default_factory=dict)
    tables: Tables = field(
        default_factory=lambda: Tables("people", "", messages="", executions="", accounts="")
    )

    @property
    def routing(self) -> None:
        """Not written."""
        raise NotImplementedError


@dataclass
class WithData(Small):
    """The same with data access."""

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
    """The same with contexts."""

    contexts: Openings = field(default_factory=Openings)


async def _awaiting(act: Callable[[], Awaitable[None]]) -> None:
    await act()


async def _wait() -> None:
    await asyncio.Event().wait()


async def left_by(watch: Watch) -> tuple[int, int]:
    """How many tasks and connections the watch has to end."""
    return len(await watch.end_tasks()), len(await watch.end_connections())


def unseen(part: Part) -> Any:
    """The part, as it is seen outside of any check."""
    return Seam(cast(Target, Small(part)), lambda: None).part(Capability.CACHE)


Body = Callable[[Check, Seam], Any]


async def checked(target: Small, body: Body, *, isolation: bool = False) -> CheckRecord:
    """The record of a check on the target with this body."""
    check = Page().check(isolation=isolation)
    seam = Seam(cast(Target, target), lambda: check if check.is_open else None)
    async with check:
        await body(check, seam)
    await target.cache.close()
    assert check.record is not None
    return check.record


def record_of(target: Small, body: Body, *, isolation: bool = False) -> CheckRecord:
    """The same, in a loop of its own."""
    return asyncio.run(checked(target, body, isolation=isolation))


# What a platform does is its own ------------------------------------------------------------------


def test_nothing_of_the_platform_counts() -> None:
    """Calls, awaits, blocks, what these yield, and steps open what no watch notices."""

    async def main() -> None:
        part, watch = Part(), Watch()
        seen = unseen(part)
        with watching(watch):
            assert seen.size == 4
            assert seen.call() == "called"
            assert await seen.await_it() == "awaited"
            async with seen.block() as handle:
                assert await handle.act() == "acted"
                async with handle.nested() as inside:
                    assert inside is None
            async with guarded_block(part.block()) as inside:
                assert inside.user == "ann"
            assert [number async for number in seen.steps()] == [0, 1, 2]
            assert len(part.sockets) == len(part.tasks) == 13
            assert await left_by(watch) == (0, 0)
        await part.close()

    asyncio.run(main())


def test_the_checks_own_count() -> None:
    """What the body of a guarded block opens, or a task that a check started, is noticed."""

    async def main() -> None:
        part, watch = Part(), Watch()
        own: list[socket.socket] = []
        with watching(watch):
            async with unseen(part).block():
                connect(own)
            task = asyncio.create_task(unseen(part).await_it())
            lasting = asyncio.create_task(_wait())
            await asyncio.wait([task])
            assert await left_by(watch) == (1, 1)
        assert lasting.cancelled()
        own[0].close()
        await part.close()

    asyncio.run(main())


def test_what_a_block_yields_is_the_same_to_look_at() -> None:
    """It is equal to itself, hashes and shows as itself, and stays as frozen as it is."""

    async def main() -> None:
        part = Part()
        async with unseen(part).block() as handle, unseen(part).block() as other:
            assert handle == other
            assert handle == Handle(part, "ann")
            assert handle != Handle(part, "bob")
            assert {handle, other} == {Handle(part, "ann")}
            assert repr(handle) == repr(Handle(part, "ann"))
            assert handle.user == "ann"
            with pytest.raises(FrozenInstanceError):
                handle.user = "bob"
            with pytest.raises(FrozenInstanceError):
                del handle.user
            with pytest.raises(NotDeclared, match=r"lacks cache.block.missing but"):
                await handle.missing()
        await part.close()

    asyncio.run(main())


def test_steps_that_a_check_leaves_are_closed_with_it() -> None:
    """An iterator that was left early ends at the end of the check, unwatched; nothing is left."""
    part = Part()
    closed_inside: list[int] = []

    async def body(check: Check, seam: Seam) -> None:
        await holds(check)
        async for _ in seam.part(Capability.CACHE).steps():
            break
        seam.part(Capability.CACHE).steps()
        closed_inside.append(part.closed)

    assert said(Outcome.PASSED, "", record_of(Small(part), body))
    assert closed_inside == [0]
    assert part.closed == 1


def test_steps_that_cannot_be_closed_break_the_check() -> None:
    """An error at the end of an iterator is told, and hides nothing."""

    async def body(check: Check, seam: Seam) -> None:
        await holds(check)
        seam.part(Capability.CACHE).stubborn()

    record = record_of(Small(Part()), body)
    assert said(Outcome.BROKEN, "not-closed", record)
    assert "it does not close" in record.detail


def test_errors_pass_through() -> None:
    """A guard changes no error, and a block sees the error of its body."""

    async def main() -> None:
        part = Part()
        seen = unseen(part)
        with pytest.raises(LookupError, match="of the part"):
            await seen.fail()
        with pytest.raises(NotImplementedError, match="of the body") as raised:
            async with seen.block():
                raise NotImplementedError("of the body")
        assert raised.type is NotImplementedError
        assert len(part.sockets) == 2
        assert not hasattr(seen, "_repr_html_")
        await part.close()

    asyncio.run(main())


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
