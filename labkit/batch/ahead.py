"""Leases that nobody waits for: the next is taken, and the last given back, while others run."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from itertools import chain
from typing import Self

from labkit.batch.recorder import Recorder
from labkit.errors import LabError
from labkit.journal import LeaseNote
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.leases import LeaseHolder


class LeasesAhead:
    """Takes leases from a holder, some before they are asked for.

    What was taken in vain is the holder's to give back. One that cannot be given back is told in
    the journal: its marker lets the next run remove it.
    """

    def __init__(self, holder: LeaseHolder, recorder: Recorder) -> None:
        self._holder = holder
        self._recorder = recorder
        self._spare: defaultdict[str | None, deque[asyncio.Task[Lease]]] = defaultdict(deque)
        self._given_back: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        spare = list(chain(*self._spare.values()))
        for task in spare:
            task.cancel()
        done = await asyncio.gather(*spare, *self._given_back, return_exceptions=True)
        for failure in done:
            if isinstance(failure, Exception):
                text = f"a lease that no notebook needed any more could not be taken: {failure}"
                self._recorder.record(LeaseNote(time.time(), text))

    def expect(self, template: Lease | None, *, at_once: int = 1) -> None:
        """So many will soon ask for a copy of this template, or for an empty lease."""
        spare = self._spare[_key(template)]
        while len(spare) < at_once:
            taking = self._holder.take(template=template)
            spare.append(asyncio.create_task(taking, name="a lease ahead"))

    async def ready(self, template: Lease | None) -> None:
        """Wait for those that are expected; what cannot be had is told to who takes it."""
        if spare := self._spare[_key(template)]:
            await asyncio.wait(spare)

    async def take(self, template: Lease | None) -> Lease:
        """A lease; raises `ServiceUnavailable` or `LeaseError` when there is none to be had."""
        self.expect(template)
        return await self._spare[_key(template)].popleft()

    def give_back(self, lease: Lease) -> None:
        """Give a lease back meanwhile."""
        task = asyncio.create_task(self._give_back(lease), name=f"giving {lease.id} back")
        self._given_back.add(task)
        task.add_done_callback(self._given_back.discard)

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._holder.give_back(lease)
        except LabError as error:
            text = f"lease {lease.id} was not given back: {error}; the next run removes it"
            self._recorder.record(LeaseNote(time.time(), text))
        else:
            self._recorder.let_go(secrets_of(lease))


def _key(template: Lease | None) -> str | None:
    return None if template is None else template.id
