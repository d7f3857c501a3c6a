"""What time it is, for events: a clock that never runs backwards."""

from __future__ import annotations

import time
from typing import Protocol


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
        self._began_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        return (self._began_ns + time.monotonic_ns()) // 1_000_000
