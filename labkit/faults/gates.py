"""Gates hold what flows in a proxy until an event; taps tell what has passed.

With them a schedule is forced instead of hoped for::

    asked = proxy.tap(Direction.UPSTREAM, b"GET b")
    reply = proxy.hold(Direction.DOWNSTREAM, when=b"secret of a")
    ...
    await reply.held(deadline_s=10)     # the reply to A is in the proxy
    ...
    await asked.seen(deadline_s=10)     # B's request has gone to the server
    reply.release()
"""

from __future__ import annotations

import asyncio

from labkit.faults.flow import (
    Chunk,
    Direction,
    Fault,
    Finder,
    Onward,
    Stream,
    checked_pattern,
    is_set_in_time,
)


class Gate(Fault):
    """Holds each stream from a byte pattern on, or from now on, until it is released.

    The other side never has the whole pattern before the release; where its first bytes came alone,
    these have passed. What is held is neither lost nor reordered; more than about a megabyte of it
    is not taken from the sender. The end of a stream is held like its bytes. A gate behind another
    one sees nothing before that is released.

    A `whole` one holds also what came in one piece with the pattern's last byte: the beginning of a
    reply, which would tell the other side that something is coming.
    """

    name = "gate"

    def __init__(self, when: bytes | None = None, *, whole: bool = False) -> None:
        super().__init__()
        self._is_whole = whole
        self._when = None if when is None else checked_pattern(when)
        self._finders: dict[Stream, Finder] = {}

    @property
    def released(self) -> bool:
        """Whether it lets everything pass."""
        return self._lifted.is_set()

    async def held(self, *, deadline_s: float) -> bool:
        """Wait until something is held, and all before it has passed.

        False when nothing was within `deadline_s` seconds, which is no exception: the gate's
        verdict then says `fault-not-applied`. It stays True after the release.
        """
        return await self.applied(deadline_s=deadline_s)

    def release(self) -> None:
        """Let what is held pass, and all that follows; harmless twice."""
        self.lift()

    def begin(self, stream: Stream) -> None:
        """Look for the pattern from here on."""
        if self._when is not None:
            self._finders[stream] = Finder(self._when)

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Hold the chunk, from the pattern on."""
        start = self._start(chunk, stream)
        if start is None:
            await onward(chunk)
            return
        if start:
            await onward(Chunk(chunk.data[:start], chunk.at_s))
        if not self.released:
            self._count(stream, len(chunk.data) - start)
            await self._lifted.wait()
        await onward(Chunk(chunk.data[start:], chunk.at_s, chunk.ending))

    def _done(self, size: str, connections: str) -> str:
        sender = "server" if self._where == Direction.DOWNSTREAM else "client"
        return f"held {size} of what the {sender} sent, on {connections}"

    def _start(self, chunk: Chunk, stream: Stream) -> int | None:
        """Where in the chunk the hold begins, if it does."""
        if self._when is None:
            return 0
        found = self._finders[stream].find(chunk.data)
        return 0 if found is not None and self._is_whole else found


class Tap:
    """Lets everything pass, and tells when a byte pattern has gone to the other side."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = checked_pattern(pattern)
        self._finders: dict[Stream, Finder] = {}
        self._seen = asyncio.Event()

    async def seen(self, *, deadline_s: float) -> bool:
        """Wait until the pattern has passed; False when it has not within `deadline_s` seconds."""
        return await is_set_in_time(self._seen, deadline_s)

    def look(self, data: bytes, stream: Stream) -> None:
        """Take notice of what has been sent."""
        finder = self._finders.setdefault(stream, Finder(self._pattern))
        if finder.find(data) is not None:
            self._seen.set()
