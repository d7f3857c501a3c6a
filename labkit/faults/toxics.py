"""Toxics: what a proxy does to a stream, by Toxiproxy's names and with their meaning.

Times are in milliseconds, sizes in bytes. Each acts on every connection by itself, from the moment
in which it is added, and stops when it is removed. A number that makes no sense is a `UsageError`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from labkit.errors import UsageError
from labkit.faults.flow import Chunk, Ending, Fault, Onward, Stream

_SLICES_PER_S: Final = 10


class Toxic(Fault):
    """A fault that works on its own, for as long as it is part of the proxy."""

    def begin(self, stream: Stream) -> None:
        """Nothing: most toxics wait for what comes."""


class Latency(Toxic):
    """Delays each chunk by `latency_ms`, give or take up to `jitter_ms`; the order stays.

    Chunks travel at the same time, as on a long line: the delay does not limit the rate.
    """

    name = "latency"

    def __init__(self, latency_ms: float, jitter_ms: float = 0) -> None:
        super().__init__()
        _require(latency_ms + jitter_ms > 0, "latency_ms + jitter_ms must be above 0")
        _require(latency_ms >= 0 <= jitter_ms, "latency_ms and jitter_ms must not be below 0")
        self.latency_ms = latency_ms
        self.jitter_ms = jitter_ms

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Pass the chunk when its delay since it came is over."""
        delay_ms = self.latency_ms + self._random.uniform(-self.jitter_ms, self.jitter_ms)
        due_s = chunk.at_s + max(0.0, delay_ms) / 1000
        if delay_ms > 0:
            await self._pause_until(due_s)
            self._count(stream, len(chunk.data))
        await onward(replace(chunk, at_s=due_s))


class Bandwidth(Toxic):
    """Passes at most `rate` bytes per second, in slices of a tenth of a second."""

    name = "bandwidth"

    def __init__(self, rate: float) -> None:
        super().__init__()
        _require(rate > 0, f"rate must be above 0 bytes per second, not {rate!r}")
        self.rate = rate

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Pass the chunk slice by slice, each when the time that it takes is over."""
        size = max(1, int(self.rate / _SLICES_PER_S))
        data = chunk.data
        while data and not self._lifted.is_set():
            piece, data = data[:size], data[size:]
            due_s = asyncio.get_running_loop().time() + len(piece) / self.rate
            await self._pause_until(due_s)
            self._count(stream, len(piece))
            await onward(Chunk(piece, due_s))
        if data or chunk.ending:
            await onward(replace(chunk, data=data))


class SlowClose(Toxic):
    """Delays the end of a stream by `delay_ms`."""

    name = "slow_close"

    def __init__(self, delay_ms: float) -> None:
        super().__init__()
        _require(delay_ms > 0, f"delay_ms must be above 0, not {delay_ms!r}")
        self.delay_ms = delay_ms

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Pass bytes at once, and the end when the delay is over."""
        if chunk.ending:
            await self._pause_until(asyncio.get_running_loop().time() + self.delay_ms / 1000)
            self._count(stream, 0)
        await onward(chunk)


class Timeout(Toxic):
    """Silence: what comes is dropped, the end of the stream too.

    The connection is closed `timeout_ms` after it came under the toxic; with 0 it never is. A
    connection from which something was dropped is closed when the toxic is removed: the stream has
    a hole.
    """

    name = "timeout"

    def __init__(self, timeout_ms: float) -> None:
        super().__init__()
        _require(timeout_ms >= 0, f"timeout_ms must not be below 0, but is {timeout_ms!r}")
        self.timeout_ms = timeout_ms
        self._timers: list[asyncio.TimerHandle] = []
        self._holed: set[Stream] = set()

    def begin(self, stream: Stream) -> None:
        """Start the time after which the connection is closed."""
        if self.timeout_ms:
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(self.timeout_ms / 1000, self._close, stream))

    def _close(self, stream: Stream) -> None:
        if stream.end(Ending.CLOSE):
            self._count(stream, 0)

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:  # noqa: ARG002
        """Drop the chunk."""
        self._count(stream, len(chunk.data))
        self._holed.add(stream)

    def lift(self) -> None:
        """Stop, and close the connections that have lost something."""
        super().lift()
        for timer in self._timers:
            timer.cancel()
        for stream in self._holed:
            stream.end(Ending.CLOSE)


class ResetPeer(Toxic):
    """Resets the connection `timeout_ms` after the first chunk that comes; this one is lost."""

    name = "reset_peer"

    def __init__(self, timeout_ms: float = 0) -> None:
        super().__init__()
        _require(timeout_ms >= 0, f"timeout_ms must not be below 0, but is {timeout_ms!r}")
        self.timeout_ms = timeout_ms

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Reset both sides, unless the toxic is removed before the time."""
        if self.timeout_ms:
            await self._pause_until(asyncio.get_running_loop().time() + self.timeout_ms / 1000)
        if self._lifted.is_set():
            await onward(chunk)
            return
        if stream.end(Ending.RESET):
            self._count(stream, len(chunk.data))


class Slicer(Toxic):
    """Cuts chunks into pieces of `average_size` bytes, give or take `size_variation`.

    Each piece is sent by itself, `delay_ms` after the one before it.
    """

    name = "slicer"

    def __init__(self, average_size: int, size_variation: int = 0, delay_ms: float = 0) -> None:
        super().__init__()
        _require(
            0 <= size_variation < average_size,
            "size_variation must be at least 0 and below average_size",
        )
        _require(delay_ms >= 0, f"delay_ms must not be below 0, but is {delay_ms!r}")
        self.average_size = average_size
        self.size_variation = size_variation
        self.delay_ms = delay_ms

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Pass the chunk piece by piece."""
        rest = chunk
        while not self._lifted.is_set():
            size = self.average_size + self._random.randint(
                -self.size_variation, self.size_variation
            )
            if len(rest.data) <= size:
                break
            self._count(stream, size)
            await onward(replace(rest, data=rest.data[:size]))
            rest = replace(rest, data=rest.data[size:])
            if self.delay_ms:
                await self._pause_until(asyncio.get_running_loop().time() + self.delay_ms / 1000)
        await onward(rest)


class LimitData(Toxic):
    """Closes the connection when `limit_bytes` have passed since it came under the toxic."""

    name = "limit_data"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        _require(limit_bytes >= 0, f"limit_bytes must not be below 0, but is {limit_bytes!r}")
        self.limit_bytes = limit_bytes
        self._passed_bytes: dict[Stream, int] = {}

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Pass what is still allowed; close after the last of it."""
        passed = self._passed_bytes.get(stream, 0)
        piece = chunk.data[: self.limit_bytes - passed]
        self._passed_bytes[stream] = passed + len(piece)
        if piece or chunk.ending:
            await onward(replace(chunk, data=piece))
        is_full = self._passed_bytes[stream] >= self.limit_bytes and not chunk.ending
        if is_full and stream.end(Ending.CLOSE):
            self._count(stream, self.limit_bytes)


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise UsageError(text)
