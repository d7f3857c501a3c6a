"""Cancels a request whose reply is on the way, and lets others use the connections after it.

::

    async with lab.detoured() as other:
        read = functools.partial(other.target.cache.read, user)
        history = await mix_up_replies(read, other.redis, canaries)
    check.judged(judge_mixup(history), "nobody is handed the reply of another")

The order of events decides whether this shows anything. The reply must be in the proxy when its
request is cancelled, and must leave it only after those who come next have asked: a reply that
arrives before is noticed by a pool, which then throws the connection away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from labkit.faults.flow import Direction
from labkit.faults.gates import Gate, Tap
from labkit.faults.proxy import TcpProxy
from labkit.judges.mixups import Answer, MixupHistory

STEP_S: Final = 5.0
"""How long each event may be waited for, in seconds."""


async def mix_up_replies(
    read: Callable[[str], Awaitable[str | None]],
    proxy: TcpProxy,
    canaries: Mapping[str, str],
    *,
    step_s: float = STEP_S,
) -> MixupHistory:
    """Read the first key and cancel it with its reply on the way; read the others meanwhile.

    `canaries` holds what each key was given before. Each key must stand in the request that asks
    for it and each value in its reply, both as UTF-8. There should be as many others as the client
    may have connections, so that they use all of them, and no more, since all must ask at once.
    What does not come within `step_s` seconds is told in the history.
    """
    first, *others = canaries
    # Whole, since the first byte of a reply is enough for a pool to throw the connection away.
    reply = proxy.hold(Direction.DOWNSTREAM, when=canaries[first].encode(), whole=True)
    asked = {key: proxy.tap(Direction.UPSTREAM, key.encode()) for key in others}
    reading = asyncio.ensure_future(read(first))
    next_ones: dict[str, asyncio.Future[str | None]] = {}
    try:
        obstacles = await _cancel(reading, reply, step_s)
        next_ones = {key: asyncio.ensure_future(read(key)) for key in others}
        obstacles += await _see(asked, step_s)
        reply.release()
        if next_ones:
            await asyncio.wait(next_ones.values(), timeout=step_s)
        answers = tuple(_answer(key, each) for key, each in next_ones.items())
    finally:
        proxy.remove(reply)
        await _end([reading, *next_ones.values()], step_s)
    return MixupHistory(canaries, first, obstacles, answers)


async def _cancel(
    reading: asyncio.Future[str | None], reply: Gate, step_s: float
) -> tuple[str, ...]:
    """Cancel a request once its reply is held; what did not happen of that."""
    is_held = await reply.held(deadline_s=step_s)
    reading.cancel()
    await asyncio.wait([reading], timeout=step_s)
    if not is_held:
        return ("the reply to the first request was never held",)
    return () if reading.cancelled() else ("the first request was not ended by its cancellation",)


async def _see(asked: Mapping[str, Tap], step_s: float) -> tuple[str, ...]:
    """Wait until all who come next have asked; who has not."""
    seen = await asyncio.gather(*(tap.seen(deadline_s=step_s) for tap in asked.values()))
    unseen = [key for key, was_seen in zip(asked, seen, strict=True) if not was_seen]
    return tuple(f"the request for {key} did not pass before the reply" for key in unseen)


def _answer(key: str, reading: asyncio.Future[str | None]) -> Answer:
    if not reading.done():
        return Answer(key, None, "nothing in time")
    if reading.cancelled():
        return Answer(key, None, "a cancellation that nobody asked for")
    error = reading.exception()
    if error is not None:
        return Answer(key, None, f"{type(error).__name__}: {error}")
    return Answer(key, reading.result())


async def _end(readings: Iterable[asyncio.Future[str | None]], step_s: float) -> None:
    """End what still runs; an error of theirs has been told, or is that of a cancelled one."""
    lasting = [reading for reading in readings if not reading.done()]
    for reading in lasting:
        reading.cancel()
    if lasting:
        await asyncio.wait(lasting, timeout=step_s)
    for reading in readings:
        if reading.done() and not reading.cancelled():
            reading.exception()
