"""One notebook's execution: what the engine is told, and what it tells of how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from labkit.batch.kernels import KernelPlace
from labkit.batch.stopwatch import Stopwatch
from labkit.journal import Ending
from labkit.records import CheckStarted, Record
from labkit.redaction import Redactor

GRACE_S: Final = 5.0
"""How long a kernel may take to give way after a deadline or an interrupt, in seconds."""


class Observer(Protocol):
    """Who is told what happens while a notebook is executed, in the engine's thread."""

    def heard(self, record: Record) -> None:
        """A record came in from the kernel."""

    def killed(self, check: CheckStarted) -> None:
        """The kernel is being killed, since this check resists its deadline."""


@dataclass(frozen=True)
class Ended:
    """How an execution ended."""

    ending: Ending
    detail: str = ""
    """One sentence; empty when the end was reached."""
    cell: int | None = None
    """The number of the cell that was running when it ended early, counted from 0."""


class Execution:
    """What is agreed between who wants a notebook executed and the engine that does it.

    `deadline_s` bounds the whole notebook, its kernel's start included; None leaves it unbounded.
    `grace_s` is how long a kernel may take to give way after a deadline or an interrupt.
    """

    def __init__(
        self,
        place: KernelPlace,
        observer: Observer,
        *,
        redactor: Redactor,
        deadline_s: float | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.place = place
        self.observer = observer
        self.redactor = redactor
        self.deadline_s = deadline_s
        self.grace_s = grace_s
        self.ended: Ended | None = None
        """Set by the engine before it returns or raises."""
        self.stopwatch = Stopwatch()
        self._lock = threading.Lock()
        self._stop: Callable[[Ending], None] | None = None
        self._asked: Ending | None = None

    def stop(self, ending: Ending) -> None:
        """Ask for an early end; from any thread, before, during or after the execution."""
        with self._lock:
            self._asked = self._asked or ending
            if self._stop is not None:
                self._stop(ending)

    def on_stop(self, stop: Callable[[Ending], None]) -> None:
        """Call `stop` when an early end is asked for: at once, if it was already."""
        with self._lock:
            self._stop = stop
            if self._asked is not None:
                stop(self._asked)
