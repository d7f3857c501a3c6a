"""What a platform opens while a check calls it is its own, and what the check opens counts."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import FrozenInstanceError

import pytest

from labkit.checks import Check
from labkit.errors import NotDeclared
from labkit.guard import Seam, guarded_block
from labkit.hygiene import Watch, watching
from labkit.records import Outcome
from labkit.targets.protocols import Capability
from tests.check_pages import holds, said
from tests.guarded_target import Handle, Part, Small, connect, record_of, unseen, wait


async def left_by(watch: Watch) -> tuple[int, int]:
    """How many tasks and connections the watch has to end."""
    return len(await watch.end_tasks()), len(await watch.end_connections())


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
            lasting = asyncio.create_task(wait())
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
