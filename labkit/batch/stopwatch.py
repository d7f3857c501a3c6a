"""Where the time of one execution goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.journal import Phase, Spent


class Stopwatch:
    """Adds up seconds by phase, on the monotonic clock; phases do not overlap."""

    def __init__(self) -> None:
        self._seconds: dict[Phase, float] = {}

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What was spent by now, in the order of the phases."""
        return tuple(Spent(one, self._seconds[one]) for one in Phase if one in self._seconds)

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """Count the block's time to a phase, also where it ends by an error."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            before_s = self._seconds.get(phase, 0.0)
            self._seconds[phase] = before_s + time.monotonic() - began_s
