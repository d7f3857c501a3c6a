"""What time it is, for events: a clock that never runs backwards."""

from __future__ import annotations

import time
from typing import Final, Protocol

_READINGS: Final = 5
"""How often both clocks are read: a process that is interrupted between them reads them apart."""


class Clock(Protocol):
    """Gives the time in milliseconds since the epoch."""

    def __call__(self) -> int:
        """The time now."""
        ...


class SteadyClock:
    """The wall clock of its making, carried on by the monotonic one.

    When somebody sets the machine's clock back, time stamps of one process still go forward.
    """

    def __init__(self) -> None:
        _, self._began_ns = min(_reading() for _ in range(_READINGS))

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        return (self._began_ns + time.monotonic_ns()) // 1_000_000


def _reading() -> tuple[int, int]:
    """How long it took to read both clocks, and how far the wall clock is ahead."""
    before_ns = time.monotonic_ns()
    wall_ns = time.time_ns()
    return time.monotonic_ns() - before_ns, wall_ns - before_ns
