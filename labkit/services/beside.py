"""Work with files that blocks, beside what the loop does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from labkit.undisturbed import to_its_end

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def beside(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """What the work gives, done in a thread; raises what it does.

    A cancellation waits for its end: what it works on is still there until then, and not used by
    anybody afterwards.
    """
    working = asyncio.create_task(asyncio.to_thread(work, *arguments, **named))
    if cancelled := await to_its_end(working):
        working.exception()  # retrieved, since nobody asks for it any more
        raise cancelled
    return working.result()
