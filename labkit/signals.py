"""Signals that ask a command to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Final

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def asked_to_end(tell: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Tell of SIGINT, SIGTERM and SIGHUP, in the running loop, while the block runs.

    SIGHUP is left alone where it was ignored before: who uses `nohup` means it.
    """
    loop = asyncio.get_running_loop()
    unheard = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    heard = [number for number in _ENDING if number not in unheard]
    for number in heard:
        loop.add_signal_handler(number, tell, number)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
