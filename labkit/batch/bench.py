"""What a notebook's execution stands on: a lease, handed over in a private file, and a place.

A target's schema is made once a run, in a template; each notebook's database is a copy of it. Where
one notebook alone has the target, or there are many targets, it makes the schema in its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from labkit.batch.ahead import LeasesAhead
from labkit.batch.environments import kernel_environment
from labkit.batch.kernels import KernelPlace
from labkit.batch.plan import Job
from labkit.batch.recorder import Recorder
from labkit.errors import InfrastructureError, ServiceUnavailable, TargetError
from labkit.journal import LeaseNote
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.handover import Handover, write_handover
from labkit.services.leases import LeaseHolder
from labkit.targets.loading import load_target
from labkit.warm import programs
from labkit.warm.owner import WarmProcess

AHEAD_S: Final = 1.0
"""How long the first notebooks are held up for what can be made before they begin, in seconds."""

_OF_ITS_OWN: Final = (Exception, SystemExit, asyncio.CancelledError)
"""What a target's install may raise; it ends neither the run nor its loop."""

SPARE_LEASES: Final = 2
"""How many of a template are made ahead: notebooks often end at the same time."""

MOST_TEMPLATES: Final = 4
"""Each takes a database and connections of the servers for as long as the run goes on."""


class Bench:
    """Prepares the places of a run's notebooks, also of several at the same time.

    To be entered with `async with`, which it leaves when all leases are given back.
    """

    def __init__(
        self,
        holder: LeaseHolder,
        recorder: Recorder,
        *,
        jobs: Iterable[Job],
        folder: Path,
        environment: Mapping[str, str],
        working_folder: Path,
        warm: WarmProcess | None = None,
        ahead_s: float = AHEAD_S,
    ) -> None:
        self._ahead_s = ahead_s
        self._holder = holder
        self._leases = LeasesAhead(holder, recorder)
        self._recorder = recorder
        self._folder = folder
        self._environment = environment
        self._working_folder = working_folder
        self._warm = warm
        used = Counter(job.target for job in jobs if job.target is not None)
        most_used = used.most_common(MOST_TEMPLATES)
        self._shared = {target for target, times in most_used if times > 1}
        self._to_come = Counter(self._source(job) for job in jobs)
        self._templates: dict[str, asyncio.Task[Lease | None]] = {}
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._leases.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for making in self._templates.values():
            making.cancel()
        await asyncio.gather(*self._templates.values(), return_exceptions=True)
        await self._leases.__aexit__()

    async def prepare(self, jobs: Sequence[Job]) -> None:
        """Have all that these need, who are begun at once, while the warm process warms up.

        What takes longer than `ahead_s` is waited for by those alone who need it.
        """
        by_source = Counter(map(self._source, jobs))
        deadlines = {self._source(job): job.deadline_s for job in jobs}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._ahead_s):
                each = (self._expect(*one, deadlines[one[0]]) for one in by_source.items())
                await asyncio.gather(*each)
        await self._door()

    async def _expect(self, source: str | None, at_once: int, deadline_s: float) -> None:
        with contextlib.suppress(InfrastructureError):  # whoever asks for a place is told again
            template = await self._template(source, deadline_s=deadline_s)
            self._leases.expect(template, at_once=at_once)
            await self._leases.ready(template)

    async def _door(self) -> Path | None:
        return await self._warm.door() if self._warm else None

    def _source(self, job: Job) -> str | None:
        """Whose template a job's lease is a copy of; None for an empty one."""
        return job.target if job.target in self._shared else None

    @contextlib.asynccontextmanager
    async def place(self, job: Job) -> AsyncIterator[KernelPlace]:
        """A place with a lease of its own, given back when the block is left.

        Raises `ServiceUnavailable` or `LeaseError` when there is no lease to be had. One that
        cannot be given back is told in the journal: its marker lets the next run remove it.
        """
        source = self._source(job)
        template = await self._template(source, deadline_s=job.deadline_s)
        lease = await self._leases.take(template)
        self._to_come[source] -= 1
        self._leases.expect(template, at_once=min(self._to_come[source], SPARE_LEASES))
        if not self._folder.is_dir():
            text = "the run's private folder is gone: the keeper that owned it has died"
            raise ServiceUnavailable(f"{text}; start the run again")
        # A socket's path is short, and a notebook's name need not be.
        folder = self._folder / f"kernel-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        try:
            yield self._handed_over(lease, folder, await self._door())
        finally:
            self._leases.give_back(lease)

    def _handed_over(self, lease: Lease, folder: Path, warm: Path | None) -> KernelPlace:
        secrets = secrets_of(lease)
        self._recorder.keep_secret(secrets)
        file = folder / "handover.json"
        write_handover(file, Handover(lease, secrets))
        environment = kernel_environment(self._environment, file)
        if warm is not None:
            environment[programs.DOOR] = str(warm)
        return KernelPlace(folder, environment, self._working_folder, warm)

    async def _template(self, target: str | None, *, deadline_s: float) -> Lease | None:
        """A lease with the target's schema in it; None when the notebook must make it, or fails.

        Of several who ask, each may go before it is made.
        """
        if target is None:
            return None
        if target not in self._templates:
            making = self._try_to_make_template(target, deadline_s)
            self._templates[target] = asyncio.create_task(making, name=f"template for {target}")
        return await asyncio.shield(self._templates[target])

    async def _try_to_make_template(self, target: str, deadline_s: float) -> Lease | None:
        try:
            return await self._make_template(target, deadline_s)
        except TargetError as error:
            self._recorder.record(LeaseNote(time.time(), str(error)))
            return None

    async def _make_template(self, target: str, deadline_s: float) -> Lease:
        factory = load_target(target)
        lease = await self._holder.take()
        self._recorder.keep_secret(secrets_of(lease))
        try:
            async with asyncio.timeout(deadline_s):
                await factory.install(lease)
        except _OF_ITS_OWN as error:
            _let_through_what_was_asked_for(error)
            text = f"target {target!r} made no schema: its install raised {type(error).__name__}"
            raise TargetError(f"{text}: {error}") from error
        return lease


def _let_through_what_was_asked_for(error: BaseException) -> None:
    """Raise a cancellation again, unless it is one that nobody asked this task for."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
