"""A run: services, a lease for each notebook, its execution, and a report that can be believed.

Whatever happens, leases are given back, and the run's folder tells what is known by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import labkit
from labkit.batch.assignment import Assignment, Performed, perform
from labkit.batch.bench import Bench
from labkit.batch.coverage import CoverageMeter
from labkit.batch.execution import GRACE_S, Ended
from labkit.batch.kernels import KernelPlace
from labkit.batch.plan import Job, Plan
from labkit.batch.recorder import NotebookObserver, Recorder
from labkit.batch.resumption import held_journal, resumed
from labkit.batch.seal import finish_notebook, seal
from labkit.batch.selection import source_of
from labkit.batch.stopwatch import Stopwatch
from labkit.batch.wire import Wire
from labkit.errors import InfrastructureError, KernelUnavailable, ParameterError, UsageError
from labkit.journal import (
    CoverageMeasured,
    Ending,
    Entry,
    InfrastructureFailed,
    Journal,
    NotebookEnded,
    NotebookStarted,
    Phase,
    RunCancelled,
    RunResumed,
    RunStarted,
    ServicesReady,
)
from labkit.redaction import Redactor, secrets_in
from labkit.reports.build import Further, require_latest
from labkit.reports.read import read_outcome
from labkit.reports.results import RunResult
from labkit.services.endpoints import Services
from labkit.services.keeper import keep
from labkit.services.leases import LeaseHolder
from labkit.services.open import open_services, standing_servers
from labkit.signals import asked_to_end
from labkit.warm.owner import WarmProcess
from labkit.warm.programs import COVERAGE

_UNWRITABLE: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES}
)
"""A disk that is full, whose quota or limit is reached, that is broken or closed to the run."""


@dataclass(frozen=True)
class RunSettings:
    """Where a run works and what it may use."""

    output_root: Path
    """The run's folder is made in it."""
    environment: Mapping[str, str]
    """The process's environment, read once."""
    cache: Path
    allow_hosts: tuple[str, ...]
    """Hosts of given services that are neither local nor private, named one by one."""
    working_folder: Path
    """Where the kernels start."""
    grace_s: float = GRACE_S
    """How long a kernel may take to give way after a deadline or an interrupt."""
    workers: int = 1
    """How many notebooks are executed at the same time; at least 1."""
    fail_fast: bool = False
    """Whether no notebook is begun any more once one is red."""
    coverage: bool = False
    """Whether it is measured what of the targets' packages runs."""


async def run_plan(
    plan: Plan,
    settings: RunSettings,
    watch: Callable[[Entry], None],
    *,
    beginning: Sequence[Entry] = (),
    further: Further | None = None,
    warm: WarmProcess | None = None,
    make_executor: Callable[[int], Executor] = ThreadPoolExecutor,
) -> tuple[Path, RunResult]:
    """Execute the plan; the run's folder and what its reports say.

    `beginning` are entries that stand behind the journal's first; `further` makes further reports.
    The kernels are forked from the `warm` process; where there is none, each starts on its own.
    `make_executor` makes, for so many workers, what executes the notebooks: in threads or processes
    of this machine.

    SIGINT, SIGTERM and SIGHUP end it early and in order: the running cells are interrupted, their
    leases given back, and a partial report written. Raises `UsageError` before anything was
    started, and `InfrastructureError` where the run's folder cannot be written to; an error that is
    labkit's own comes through once the report of what was done is written.
    """
    known = secrets_in(settings.environment)
    _refuse_secret_parameters(plan, Redactor(known))
    standing_servers(
        settings.environment, cache=settings.cache, allow_hosts=settings.allow_hosts
    )  # a URL that cannot be used is refused here
    require_latest(settings.output_root)
    folder = settings.output_root / plan.run
    if plan.remaining is None:
        _make_folder(folder)
    with _writing_to(folder), held_journal(folder) as file:
        if plan.remaining is not None:  # somebody else may have gone on with it meanwhile
            plan = resumed(plan, folder)
        recorder = Recorder(Journal(file), watch)
        recorder.keep_secret(known)
        run = _Run(plan, settings, folder, recorder, warm, make_executor)
        with asked_to_end(run.cancel):
            run.begin(beginning)
            await run.go()
            # A signal that comes now finds nothing to end; the report is written all the same.
            result = seal(folder, recorder, further)
            if run.failure is not None:
                raise run.failure
            return folder, result


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        text = f"the run's folder {folder} cannot be made: {error.strerror}"
        raise UsageError(f"{text}; choose another --output-root") from error


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """What the system says of a folder that it does not let be written to, the run tells."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        text = f"the run cannot be written to {error.filename or folder}: {error.strerror}"
        raise InfrastructureError(f"{text}; what stands there is not all of it") from error


def _refuse_secret_parameters(plan: Plan, redactor: Redactor) -> None:
    faults = [
        f"parameter {name} of {job.name} holds the value of a secret; give it by the environment"
        for job in plan.jobs
        for name, value in job.parameters.items()
        if redactor.findings(json.dumps(value, ensure_ascii=False))
    ]
    if faults:
        raise ParameterError("; ".join(faults))


def _is_executed(job: Job, plan: Plan) -> bool:
    return not job.is_deselected and (plan.remaining is None or job.name in plan.remaining)


class _Run:
    """The state of one run while it goes on."""

    def __init__(
        self,
        plan: Plan,
        settings: RunSettings,
        folder: Path,
        recorder: Recorder,
        warm: WarmProcess | None,
        make_executor: Callable[[int], Executor],
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._folder = folder
        self._recorder = recorder
        self._warm = warm
        self._make_executor = make_executor
        self._waiting = [job for job in plan.in_turn() if _is_executed(job, plan)]
        self._red: str | None = None
        self._cancelled = False
        self._going: asyncio.Future[None] | None = None
        self.failure: Exception | None = None
        """An error that nothing of the run's surroundings explains."""

    def begin(self, beginning: Sequence[Entry]) -> None:
        if self._plan.remaining is None:
            self._begin_anew(beginning)
        else:
            self._go_on(self._plan.remaining)

    def _go_on(self, remaining: Collection[str]) -> None:
        names = tuple(job.name for job in self._plan.jobs if job.name in remaining)
        self._record(RunResumed(time.time(), names))
        for name in names:  # half of an execution is no evidence for the next
            (self._folder / f"{name}.ipynb").unlink(missing_ok=True)

    def _begin_anew(self, beginning: Sequence[Entry]) -> None:
        plan = self._plan
        planned = tuple(job.planned() for job in plan.jobs)
        started = (plan.run, labkit.__version__, plan.environment, planned, plan.options)
        for entry in (RunStarted(time.time(), *started), *beginning):
            self._record(entry)
        for job in plan.jobs:
            if job.is_deselected:
                self._leave_out(job, Ending.DESELECTED, "none of its checks was asked for")

    async def go(self) -> None:
        self._going = asyncio.ensure_future(self._work())
        try:
            await self._going
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
        except InfrastructureError as error:
            self._record(InfrastructureFailed(time.time(), str(error)))
        except Exception as error:  # noqa: BLE001 - raised once the report is written
            self.failure = error
            told = f"labkit itself failed with {type(error).__name__}: {error}"
            self._record(InfrastructureFailed(time.time(), told))
        ending, text = self._why_not_begun()
        for job in self._waiting:
            self._leave_out(job, ending, text)

    def _leave_out(self, job: Job, ending: Ending, why: str) -> None:
        self._record(NotebookEnded(time.time(), job.name, ending, why, None, 0.0))

    def _why_not_begun(self) -> tuple[Ending, str]:
        """What is to be said of those that still wait when the run is over."""
        if self._red is None or self._cancelled:
            return Ending.NEVER_STARTED, "the run ended before this notebook's turn"
        text = f"{self._red} was red, and the run stops at the first red notebook"
        return Ending.DESELECTED, text

    def _record(self, entry: Entry) -> None:
        self._recorder.record(entry)

    def cancel(self, number: signal.Signals) -> None:
        """End the run in order, since a signal asked for it."""
        if self._cancelled:
            return
        self._cancelled = True
        try:
            self._record(RunCancelled(time.time(), number.name))
        finally:  # also where that cannot be written
            if self._going is not None:
                self._going.cancel()

    async def _work(self) -> None:
        async with keep() as keeper:
            if self._warm is not None:
                self._warm.listen_in(keeper.folder)
            await self._work_in(keeper.folder)

    async def _work_in(self, folder: Path) -> None:
        settings = self._settings
        async with (
            open_services(
                settings.environment, cache=settings.cache, allow_hosts=settings.allow_hosts
            ) as services,
            LeaseHolder(services) as holder,
        ):
            self._meet(services)
            with _writing_to(self._folder), self._measured(folder) as environment:
                bench = Bench(
                    holder,
                    self._recorder,
                    jobs=self._waiting,
                    folder=folder,
                    environment=environment,
                    working_folder=settings.working_folder,
                    warm=self._warm,
                )
                async with bench:
                    await bench.prepare(self._waiting[: settings.workers])
                    await self._work_side_by_side(bench)

    @contextlib.contextmanager
    def _measured(self, folder: Path) -> Iterator[Mapping[str, str]]:
        """The environment of the kernels, in which coverage is measured where it is wanted."""
        environment = self._settings.environment
        if not self._settings.coverage:
            yield environment
            return
        targets = {job.target for job in self._plan.jobs if job.target is not None}
        meter = CoverageMeter(folder / "coverage", targets)
        try:
            yield {**environment, COVERAGE: str(meter.settings)}
        finally:  # who is cancelled has measured something too
            self._record(CoverageMeasured(time.time(), meter.measured()))

    async def _work_side_by_side(self, bench: Bench) -> None:
        """Execute the notebooks, several at a time, each begun in its turn.

        An error that nobody foresaw ends the others in order, and is raised as it is.
        """
        workers = self._settings.workers
        with self._make_executor(workers) as executor:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(workers, len(self._waiting))):
                        group.create_task(self._work_off(bench, executor))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from errors

    async def _work_off(self, bench: Bench, executor: Executor) -> None:
        while self._waiting and self._red is None:
            job = self._waiting.pop(0)
            await self._run_job(bench, job, executor)
            if self._settings.fail_fast and not read_outcome(self._folder, job.name).is_green:
                self._red = job.name

    def _meet(self, services: Services) -> None:
        urls = (services.postgres.url, services.redis.url)
        named = {f"url {number}": url.reveal() for number, url in enumerate(urls)}
        self._recorder.keep_secret((*urls, *secrets_in(named)))
        versions = (services.postgres.version, services.redis.version)
        self._record(ServicesReady(time.time(), versions))

    async def _run_job(self, bench: Bench, job: Job, executor: Executor) -> None:
        self._record(NotebookStarted(time.time(), job.name))
        started, watch = time.monotonic(), Stopwatch()
        performed: Performed | None = None
        ended = Ended(Ending.NO_KERNEL, "the run could not go on, see what it tells")
        try:
            async with contextlib.AsyncExitStack() as stack:
                with watch.during(Phase.LEASE):
                    place = await stack.enter_async_context(bench.place(job))
                performed = await self._execute(job, place, executor)
        except asyncio.CancelledError:
            ended = Ended(Ending.CANCELLED, "the run was cancelled before the kernel ran")
            raise
        except KernelUnavailable as error:
            ended = Ended(Ending.NO_KERNEL, str(error))
        except InfrastructureError as error:
            ended = Ended(Ending.NO_LEASE, str(error))
        finally:
            ended = performed.ended if performed else ended
            spent = (*watch.spent, *(performed.spent if performed else ()))
            told = (ended.ending, ended.detail, ended.cell, time.monotonic() - started, spent)
            self._record(NotebookEnded(time.time(), job.name, *told))
        _let_cancellation_through()

    async def _execute(self, job: Job, place: KernelPlace, executor: Executor) -> Performed:
        """Have a notebook executed; a cancellation ends that early, and is still to be raised."""
        output = self._folder / f"{job.name}.ipynb"
        async with Wire(place.folder, NotebookObserver(job.name, self._recorder)) as wire:
            assignment = Assignment(
                source=source_of(job, place.folder),
                output=output,
                parameters=job.parameters,
                place=place,
                redactor=self._recorder.redactor,
                deadline_s=job.deadline_s,
                grace_s=self._settings.grace_s,
                wire=wire.path,
            )
            working = asyncio.wrap_future(executor.submit(perform, assignment))
            try:
                performed = await asyncio.shield(working)
            except asyncio.CancelledError:
                wire.stop(Ending.CANCELLED)
                performed = await working
            finally:
                finish_notebook(output, job, self._recorder.redactor)
            await wire.heard_all()
        return performed


def _let_cancellation_through() -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
