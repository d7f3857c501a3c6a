"""What a connection has been told of each run, so that it is told each event once, in order."""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from labkit.reference.events.streams import Published

_ENDED_RUNS: Final = 1_000
"""So many of the last runs that ended are remembered, for duplicates of their events."""

_POSITIONS: Final = 1_000
"""So many of the last events of no run are remembered."""


class Standing(enum.Enum):
    """How an event stands to what was told before."""

    NEXT = enum.auto()
    """It is the next one."""
    KNOWN = enum.auto()
    """It was told before."""
    AHEAD = enum.auto()
    """Others of its run are missing before it."""
    NOT_FOLLOWED = enum.auto()
    """Its run began before the connection did, which has not asked for it yet."""


class Cursors:
    """One connection's place in each run that it follows.

    It follows the runs whose first event it is given, and those that it was told to `follow`.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._ended: deque[str] = deque()
        self._positions: deque[int] = deque(maxlen=_POSITIONS)

    def standing(self, published: Published) -> Standing:
        """How a published event stands to what was told before."""
        event = published.event
        if event.run is None or event.seq is None:
            return Standing.KNOWN if published.position in self._positions else Standing.NEXT
        if event.run not in self._last:
            return Standing.NOT_FOLLOWED if event.seq else Standing.NEXT
        beyond = event.seq - self._last[event.run]
        return Standing.KNOWN if beyond <= 0 else Standing.NEXT if beyond == 1 else Standing.AHEAD

    def last(self, run: str) -> int | None:
        """The last event of a run that was told; None before its first."""
        last = self._last.get(run, -1)
        return None if last < 0 else last

    def follow(self, run: str, after: int | None) -> None:
        """Go on in a run after a `seq`, or from its first event."""
        self._last[run] = -1 if after is None else after

    def leave(self, run: str) -> None:
        """Follow a run no longer."""
        self._last.pop(run, None)

    def told(self, published: Published) -> None:
        """Note that an event was told."""
        event = published.event
        if event.run is None or event.seq is None:
            self._positions.append(published.position)
            return
        self._last[event.run] = event.seq
        if event.type.is_end:
            self._ended.append(event.run)
            if len(self._ended) > _ENDED_RUNS:
                self.leave(self._ended.popleft())
