"""Waiting for work to its end, although the one who waits is cancelled."""

from __future__ import annotations

import asyncio
from typing import Any


async def to_its_end(work: asyncio.Task[Any]) -> asyncio.CancelledError | None:
    """Wait until it is done, however often the caller is cancelled.

    Gives the cancellation that came meanwhile, the last of several: the caller raises it once it
    has seen to what became of the work. How that ended is not raised here.
    """
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
