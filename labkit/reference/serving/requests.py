"""What the platform does about each frame of a user who is known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

from labkit.errors import Denied, Rejected
from labkit.json_values import JsonValue
from labkit.reference.routing.intake import Accepted, Incoming
from labkit.reference.wire.frames import Cancel, Continue, Quality, Submit
from labkit.targets.notifications import Notice, NoticeKind

Request: TypeAlias = Submit | Continue | Cancel | Quality
"""The frames that a process answers by what it does; the others concern the connection itself."""

_log: Final = logging.getLogger(__name__)


class Intake(Protocol):
    """Takes messages in."""

    async def accept(self, incoming: Incoming) -> Accepted:
        """The run that answers a message; `Denied` or `Rejected`."""
        ...


class Engine(Protocol):
    """Works on runs."""

    async def cancel(self, user: str, run: str) -> None:
        """End a run; `Denied` or `Rejected`."""
        ...

    async def resume(self, user: str, run: str) -> None:
        """Go on with a run; `Denied` or `Rejected`."""
        ...


class QualityDesk(Protocol):
    """Takes what is said of quality."""

    async def take(self, user: str, payload: Mapping[str, JsonValue]) -> str:
        """The name of the handler that took it; `Rejected` with the reason."""
        ...


class Requests:
    """Hands each frame to the part of the platform that it is for.

    What was begun is carried through, whatever becomes of the connection that asked for it.
    """

    def __init__(self, intake: Intake, engine: Engine, quality: QualityDesk) -> None:
        self._intake = intake
        self._engine = engine
        self._quality = quality
        self._under_way: set[asyncio.Task[Notice]] = set()

    async def answer(self, user: str, request: Request) -> Notice:
        """What the user is answered; a refusal is an answer too, other errors come through."""
        task = asyncio.create_task(self._answer(user, request))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_failure)
            raise

    async def finish(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _answer(self, user: str, request: Request) -> Notice:
        message = request.message if isinstance(request, Submit | Quality) else None
        run = request.run if isinstance(request, Continue | Cancel) else None
        try:
            return await self._done(user, request)
        except (Denied, Rejected) as error:
            return refusal(error, message=message, run=run)

    async def _done(self, user: str, request: Request) -> Notice:
        match request:
            case Submit(message, thread, text, agent):
                incoming = Incoming(user, thread, text, message, agent)
                accepted = await self._intake.accept(incoming)
                return Notice(
                    NoticeKind.ACCEPTED,
                    message=message,
                    run=accepted.run,
                    data={"is_new": accepted.is_new},
                )
            case Quality(message, payload):
                handler = await self._quality.take(user, payload)
                return Notice(NoticeKind.ROUTED, message=message, reason=handler)
            case Continue(run):
                await self._engine.resume(user, run)
            case Cancel(run):
                await self._engine.cancel(user, run)
        return Notice(NoticeKind.ACCEPTED, run=run)


def refusal(
    error: Denied | Rejected, *, message: str | None = None, run: str | None = None
) -> Notice:
    """The notice of what is not done, and why; `error` in its data is `denied` or `rejected`."""
    kind = "denied" if isinstance(error, Denied) else "rejected"
    return Notice(
        NoticeKind.REFUSED, message=message, run=run, reason=str(error), data={"error": kind}
    )


def _tell_failure(task: asyncio.Task[Notice]) -> None:
    """Nobody waits for the answer any more, so that its failure shows here alone."""
    if not task.cancelled() and (error := task.exception()):
        _log.error("a request failed after its client had left", exc_info=error)
