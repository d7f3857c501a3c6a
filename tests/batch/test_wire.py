"""A wire carries what is heard one way and an early end the other, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit.batch.execution import Execution
from labkit.batch.kernels import KernelPlace
from labkit.batch.wire import Wire, far_end
from labkit.journal import Ending
from labkit.records import CheckStarted, LabClosed, Outcome, Record
from labkit.redaction import Redactor

START = CheckStarted("holds", "A claim", 1.0, 30.0)
CLOSED = LabClosed(Outcome.PASSED, 2.0)


class Listener:
    """Keeps what it is told; refuses a record on demand."""

    def __init__(self, refused: Record | None = None) -> None:
        self.told: list[tuple[str, Record]] = []
        self._refused = refused

    def heard(self, record: Record) -> None:
        """Keep it, or fail as a disk does that is full."""
        if record == self._refused:
            raise OSError("no space left")
        self.told.append(("heard", record))

    def killed(self, check: CheckStarted) -> None:
        """Keep it."""
        self.told.append(("killed", check))


def worked(listener: Listener, path: Path, work: Callable[[Wire, Path], object]) -> Wire:
    """Both ends of a wire, the far one used in a thread until all is heard."""

    async def go() -> Wire:
        async with Wire(path, listener) as wire:
            with ThreadPoolExecutor(1) as pool:
                working = asyncio.wrap_future(pool.submit(work, wire, wire.path))
                await working
            await wire.heard_all()
        return wire

    return asyncio.run(asyncio.wait_for(go(), 30))


def test_all_is_told_in_order_once_the_work_has_returned(socket_folder: Path) -> None:
    """Also what was said just before the far end was closed."""
    listener = Listener()

    def work(_wire: Wire, path: Path) -> None:
        with far_end(path) as far:
            for _ in range(200):
                far.heard(START)
            far.killed(START)
            far.heard(CLOSED)

    worked(listener, socket_folder, work)
    assert listener.told == [
        *[("heard", START)] * 200,
        ("killed", START),
        ("heard", CLOSED),
    ]


@pytest.mark.parametrize("is_early", [True, False], ids=["before it begins", "while it goes on"])
def test_an_early_end_reaches_the_execution(is_early: bool, socket_folder: Path) -> None:
    """Whenever it is asked for, and once: what comes first counts."""

    async def go() -> Ending:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        place = KernelPlace(socket_folder, {}, socket_folder)
        asked: list[Ending] = []

        def stop(ending: Ending) -> None:
            asked.append(ending)
            loop.call_soon_threadsafe(ended.set)

        async with Wire(socket_folder, Listener()) as wire:
            if is_early:
                wire.stop(Ending.CANCELLED)
            with far_end(wire.path) as far, ThreadPoolExecutor(1) as pool:
                execution = Execution(place, far, redactor=Redactor(()))
                execution.on_stop(stop)
                obeying = pool.submit(far.obey, execution)
                if not is_early:
                    wire.stop(Ending.CANCELLED)
                wire.stop(Ending.DEADLINE)
                await ended.wait()
                far.close()
            obeying.result()
            await wire.heard_all()
        return asked[0]

    assert asyncio.run(asyncio.wait_for(go(), 30)) is Ending.CANCELLED


def test_who_cannot_take_it_ends_the_work_and_is_heard(socket_folder: Path) -> None:
    """The far end is not held up by it, and the error is raised to who waits for all."""
    listener = Listener(refused=CLOSED)

    def work(_wire: Wire, path: Path) -> None:
        with far_end(path) as far:
            far.heard(START)
            far.heard(CLOSED)
            for _ in range(2_000):
                far.heard(START)

    with pytest.raises(OSError, match="no space left"):
        worked(listener, socket_folder, work)
    assert listener.told == [("heard", START)]


def test_what_cannot_be_read_ends_the_work_and_is_heard(socket_folder: Path) -> None:
    """Who goes on to write is refused, instead of waiting for a reader for ever."""

    def work(_wire: Wire, path: Path) -> None:
        with far_end(path) as far:
            far._connection.sendall(b"{no record\n")
            while True:
                far.heard(START)

    async def go() -> None:
        async with Wire(socket_folder, Listener()) as wire:
            with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match=r"pipe|reset"):
                await asyncio.wrap_future(pool.submit(work, wire, wire.path))
            await wire.heard_all()

    with pytest.raises(ValueError, match="Expecting property name"):
        asyncio.run(asyncio.wait_for(go(), 30))
