"""The end of background tasks."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 0.2


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended; what they raised is theirs.

    They are cancelled again and again: `asyncio.wait_for` loses a cancellation that comes just as
    its work is done (before Python 3.12), and drivers use it.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
