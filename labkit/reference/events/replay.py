"""Events of a run that were published before: all that were asked for, or word that they are gone.

What must be there is decided by the database: of a run that has counted to `next_seq`, everything
was published but what still waits in the outbox.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labkit.errors import Denied, LabError, Rejected
from labkit.reference.data.refusals import no_such
from labkit.reference.data.store import Store
from labkit.reference.events.streams import Published, Streams

_PROGRESS: Final = """
    select next_seq, status in ('completed', 'failed', 'cancelled'),
           (select min((event->>'seq')::integer) from outbox where run_id = executions.id)
      from executions where id = $1
"""


class Gone(LabError):
    """Events that were asked for are no longer kept."""


@dataclass(frozen=True)
class Replayed:
    """The part of a run that was asked for."""

    events: Sequence[Published]
    is_over: bool
    """Whether nothing of the run follows."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    next_seq: int
    """So many events it has had."""
    published: int
    """So many of them have left the outbox."""
    has_ended: bool


class Replay:
    """Reads back from the streams what the database says must be there."""

    def __init__(self, store: Store, streams: Streams) -> None:
        self._store = store
        self._streams = streams

    async def events(self, user: str, run: str, after: int | None) -> Replayed:
        """The published events of a run after a `seq`, or from its first, without gaps.

        Raises `Denied` when the run is not the user's, `Rejected` when it has not come to that
        `seq`, `Gone` when one of them is no longer kept, `ServiceUnavailable` when nobody answers.
        """
        progress = await self.progress(user, run)
        first = 0 if after is None else after + 1
        if first > progress.next_seq:
            raise Rejected(f"run {run!r} has not come to its event {after}")
        kept = await self.kept(user, run)
        found = [seq for seq in sorted(kept) if seq >= first]
        beyond = first + len(found)
        if found != list(range(first, beyond)) or beyond < progress.published:
            raise Gone(f"events of run {run!r} are no longer kept as far back as {first}")
        is_over = progress.has_ended and beyond == progress.next_seq
        return Replayed([kept[seq] for seq in found], is_over)

    async def kept(self, user: str, run: str) -> Mapping[int, Published]:
        """What the user's stream still has of a run, by `seq`."""
        kept: dict[int, Published] = {}
        async for published in self._streams.events(user):
            event = published.event
            if event.run == run and event.seq is not None:
                kept.setdefault(event.seq, published)
        return kept

    async def progress(self, user: str, run: str) -> Progress:
        """How far the run is; `Denied` when it is not the user's."""
        async with self._store.transaction(user) as transaction:
            rows = [] if "\0" in run else await transaction.fetch(_PROGRESS, run)
        if not rows:
            raise Denied(no_such(user, "run", run))
        ((next_seq, has_ended, waiting),) = rows
        return Progress(next_seq, next_seq if waiting is None else waiting, has_ended)
