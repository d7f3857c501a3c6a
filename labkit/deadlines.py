"""A deadline for a check that cuts awaits and blocking Python alike.

An alarm rings in the kernel's main thread and asks the check's task to end: it is cancelled, and
the loop is woken. Where the loop did not even turn until the alarm rings again, the check's own
code is blocking it, and that code is cut by an exception. The driver's interrupt (SIGINT) goes the
same two ways: ipykernel alone loses it during blocking code in an async cell and acts late on it
while the loop is idle.
"""

from __future__ import annotations

import asyncio
import enum
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from labkit.errors import UsageError

_REPEAT_S: Final = 0.5
"""How long a check that was asked to end has to tidy up, until it is asked or cut again."""


class CutShort(BaseException):
    """Raised in code of a check that blocks the loop; no `except Exception` swallows it."""


class Cut(enum.StrEnum):
    """Why a check was cut short: the reason code of its record."""

    DEADLINE = "deadline"
    INTERRUPT = "interrupted"


class Alarm:
    """Cuts the current task after `seconds`, or when SIGINT comes.

    `may_cut` tells whether an exception may be raised where the given frame is running, in the
    given task; it is never raised anywhere else.

    Raises `UsageError` outside of the main thread, where no signal comes.
    """

    def __init__(
        self,
        seconds: float,
        may_cut: Callable[[FrameType | None, asyncio.Task[Any]], bool],
    ) -> None:
        task = asyncio.current_task()
        if task is None or threading.current_thread() is not threading.main_thread():
            raise UsageError("a check can only run in a task of the main thread: start it there")
        self._seconds = seconds
        self._may_cut = may_cut
        self._loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self._cancels = 0
        self._asked: asyncio.Handle | None = None
        self._counting = False
        self._handlers: list[tuple[signal.Signals, Any]] = []
        self.cut: Cut | None = None
        """Why the task was cut, once it was; an interrupt outweighs a deadline."""

    def arm(self) -> None:
        """Start to count. Raises `UsageError` while another alarm counts: there is one timer."""
        ringing = signal.getsignal(signal.SIGALRM)
        if isinstance(getattr(ringing, "__self__", None), Alarm):
            raise UsageError("a check is running already: end it before the next one begins")
        self._counting = True
        self._handle(signal.SIGALRM, self._on_alarm)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        self._handle(signal.SIGINT, self._on_interrupt)

    def disarm(self) -> None:
        """Stop counting: from now on nothing is cut, and an interrupt is only noted in `cut`."""
        if self._counting:
            self._counting = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        while self._cancels and self.is_cancelled_outside:
            self._task.uncancel()
            self._cancels -= 1

    def release(self) -> None:
        """Disarm, and put the signals' handlers back as they were."""
        self.disarm()
        while self._handlers:
            signal.signal(*self._handlers.pop())

    @property
    def is_cancelled_outside(self) -> bool:
        """Once disarmed: whether somebody else asked the task to end since the alarm was made."""
        return self._task.cancelling() > self._cancelling

    def _handle(
        self, number: signal.Signals, ring: Callable[[int, FrameType | None], None]
    ) -> None:
        self._handlers.append((number, signal.getsignal(number)))
        signal.signal(number, ring)

    def _on_alarm(self, _number: int, frame: FrameType | None) -> None:
        if self._counting:
            self.cut = self.cut or Cut.DEADLINE
            self._ring(frame)

    def _on_interrupt(self, _number: int, frame: FrameType | None) -> None:
        self.cut = Cut.INTERRUPT
        if self._counting:
            self._ring(frame)

    def _ring(self, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, _REPEAT_S)
        running = asyncio.current_task(self._loop)
        if self._asked is None:
            self._asked = self._loop.call_soon_threadsafe(self._ask)
        elif running is not None and self._may_cut(frame, running):
            if running is self._task:
                # What the body still does to tidy up is not to be cancelled at once.
                self._asked.cancel()
                self._asked = None
            raise CutShort("the check's time is over, and it blocks the loop")

    def _ask(self) -> None:
        self._asked = None
        if self._counting:
            self._cancels += 1
            self._task.cancel()
