"""What toxics and gates share: a pattern is found, what was done is told, a wait ends."""

from __future__ import annotations

import asyncio
import random

import pytest

from labkit.errors import UsageError
from labkit.faults.flow import Chunk, Ending, Fault, Finder, Onward, Stream, is_set_in_time
from labkit.judges.verdict import Verdict


class Line:
    """A stream with a number that cannot be ended."""

    def __init__(self, connection: int) -> None:
        self.connection = connection

    def end(self, ending: Ending) -> bool:
        """Stay open."""
        raise AssertionError(f"nobody ends it by {ending}")


class Watcher(Fault):
    """A fault that acts on all that passes, by looking at it."""

    name = "watcher"

    def begin(self, stream: Stream) -> None:
        """Count the connection."""
        self._count(stream, 0)

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Count the bytes."""
        self._count(stream, len(chunk.data))
        await onward(chunk)

    async def pause_for_an_hour(self) -> None:
        """Wait, unless it is lifted."""
        await self._pause_until(asyncio.get_running_loop().time() + 3_600)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"..abc.."], [2]),
        ([b"ab", b"c"], [None, 0]),
        ([b"..a", b"b", b"c.."], [None, None, 0]),
        ([b"aab", b"xabc"], [None, 1]),
        ([b"ab", b"", b"c"], [None, None, 0]),
        ([b"abc", b"abc"], [0, 0]),
        ([b"abx", b"c"], [None, None]),
        ([b"", b"abc"], [None, 0]),
    ],
)
def test_a_pattern_is_found_wherever_it_is_split(
    chunks: list[bytes], expected: list[int | None]
) -> None:
    """The place is that in the chunk in which the pattern ends."""
    finder = Finder(b"abc")
    assert [finder.find(chunk) for chunk in chunks] == expected


def test_a_pattern_of_one_byte_is_found_where_it_is() -> None:
    """Nothing of it can be left over from an earlier chunk."""
    finder = Finder(b"!")
    assert [finder.find(chunk) for chunk in (b"a!", b"b", b"c!!")] == [1, None, 1]


def test_every_split_of_a_text_finds_the_pattern_once() -> None:
    """However a text comes, in one or two or three chunks."""
    text = b"aabaabab"
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            finder = Finder(b"baab")
            found = [
                finder.find(piece) for piece in (text[:first], text[first:second], text[second:])
            ]
            assert len([one for one in found if one is not None]) == 1


def test_a_fault_tells_what_it_did() -> None:
    """Bytes and connections, each connection once; nothing is no evidence."""

    async def run() -> None:
        fault = Watcher()
        fault.install("upstream", 1, random.Random(1))
        told = Verdict.unknown(
            "fault-not-applied", "watcher upstream: nothing came that it could act on"
        )
        assert fault.verdict() == told
        assert not await fault.applied(deadline_s=0.01)
        passed = list[Chunk]()

        async def onward(chunk: Chunk) -> None:
            passed.append(chunk)

        first, second = Line(1), Line(2)
        for stream, data in ((first, b"1234"), (second, b"5"), (first, b"678")):
            fault.begin(stream)
            await fault.pass_on(Chunk(data, 0.0), stream, onward)
        assert [chunk.data for chunk in passed] == [b"1234", b"5", b"678"]
        assert fault.verdict() == Verdict.sound("watcher upstream: 8 bytes on 2 connections")
        assert await fault.applied(deadline_s=15)

    asyncio.run(run())


def test_a_fault_is_installed_once() -> None:
    """It stands at one place."""
    fault = Watcher()
    fault.install("upstream", 3, random.Random(1))
    with pytest.raises(UsageError, match="added upstream already"):
        fault.install("downstream", 4, random.Random(1))
    assert fault.number == 3


def test_a_pause_ends_when_the_fault_is_lifted() -> None:
    """An hour is over at once."""

    async def run() -> None:
        fault = Watcher()
        async with asyncio.timeout(15), asyncio.TaskGroup() as group:
            group.create_task(fault.pause_for_an_hour())
            await asyncio.sleep(0)
            fault.lift()

    asyncio.run(run())


def test_a_wait_for_an_event_has_a_bound() -> None:
    """True when it comes, False when it does not."""

    async def run() -> tuple[bool, bool]:
        event = asyncio.Event()
        early = await is_set_in_time(event, 0.01)
        asyncio.get_running_loop().call_soon(event.set)
        return early, await is_set_in_time(event, 15)

    assert asyncio.run(run()) == (False, True)
