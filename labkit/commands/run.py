"""`labkit run` and `labkit report`: from notebooks to a verdict, and the same verdict once more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from labkit.batch.coverage import require_coverage
from labkit.batch.order import in_turn
from labkit.batch.plan import Mode, Plan, make_plan
from labkit.batch.progress import progress
from labkit.batch.repetition import repeated
from labkit.batch.resumption import resumed
from labkit.batch.run import RunSettings, run_plan
from labkit.batch.selection import select
from labkit.commands.console import console, near
from labkit.commands.figures import figures, steady_lines
from labkit.commands.proof import tell_proof
from labkit.environment import IsolatedEnvironment
from labkit.errors import UsageError
from labkit.ids import RunID
from labkit.journal import CatchesKnown
from labkit.project import Project, nearest_project
from labkit.prove.kept import known_catches, read_kept
from labkit.prove.matrix import matrix_of
from labkit.prove.pages import proof_reports
from labkit.record_view import SYMBOLS
from labkit.records import Outcome
from labkit.reports.build import LATEST, build_reports
from labkit.reports.past import read_past
from labkit.reports.profile import OPTION as PROFILE
from labkit.reports.read import JOURNAL
from labkit.reports.results import NEVER_RAN, RunResult
from labkit.reports.texts import gist, verdict
from labkit.reports.troubles import Trouble, troubles
from labkit.services.places import default_cache
from labkit.targets.loading import importing_from, load_target
from labkit.warm.owner import WarmProcess

_STYLES: Final = {Outcome.BROKEN: "bold red", Outcome.FAILED: "red", Outcome.UNKNOWN: "yellow"}


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    selections: Sequence[str]
    environment: str
    output_root: Path | None
    allow_hosts: Sequence[str]
    deadline_s: float
    files: Sequence[Path]
    yamls: Sequence[str]
    texts: Sequence[tuple[str, str]]
    raws: Sequence[tuple[str, str]]
    target: str | None
    workers: int | None
    mode: str
    fail_fast: bool
    failed_first: bool
    expression: str | None
    repeat: int
    profile: bool
    coverage: bool
    resume: str | None

    @property
    def is_fast(self) -> bool:
        """Whether feedback is to come soon rather than whole."""
        return Mode(self.mode) is Mode.FAST_FEEDBACK

    @property
    def at_once(self) -> int:
        """How many notebooks are executed at the same time."""
        return self.workers or os.cpu_count() or 1

    @property
    def options(self) -> str:
        """What it asks for beside notebooks and parameters, as one would write it."""
        asked = {
            f"--mode={self.mode}": self.is_fast,
            "--fail-fast": self.fail_fast,
            "--failed-first": self.failed_first,
            f"--repeat={self.repeat}": self.repeat > 1,
            PROFILE: self.profile,
            "--coverage": self.coverage,
            f"-k {shlex.quote(self.expression or '')}": self.expression is not None,
        }
        return " ".join(option for option, is_given in asked.items() if is_given)


def run(asked: Asked, warm: WarmProcess | None) -> int:
    """Execute the selected notebooks, tell what is red and the verdict; the run's exit code.

    Their kernels are forked from the warm process where there is one. Raises `UsageError`, with all
    that is wrong, or `TargetError`, before anything is started.
    """
    if asked.coverage:
        require_coverage()
    here = Path.cwd()
    project = nearest_project(here)
    root = project.root if project else here
    plan, outputs = _planned(asked, project, asked.output_root or outputs_of(here))
    settings = _settings(asked, root, outputs)
    # A target of the project's own is imported as in the kernels.
    with importing_from(root), without_papermills_warnings():
        _require_targets(plan)
        beginning = _known(project, plan)
        with progress(console(stderr=True)) as watch:
            running = run_plan(plan, settings, watch, beginning=beginning, warm=warm)
            folder, result = asyncio.run(running)
    tell_result(result, folder, console())
    return result.exit_code


def _planned(asked: Asked, project: Project | None, outputs: Path) -> tuple[Plan, Path]:
    """What is to be executed, in which order, and where the run's folder is made or lies."""
    target = () if asked.target is None else (("target", asked.target),)
    plan = make_plan(
        project,
        asked.selections,
        run=RunID.new(),
        environment=asked.environment,
        deadline_s=asked.deadline_s,
        mode=Mode(asked.mode),
        files=asked.files,
        yamls=asked.yamls,
        texts=asked.texts,
        raws=(*asked.raws, *target),
    )
    plan = replace(plan, options=asked.options)
    if asked.expression is not None:
        plan = select(plan, asked.expression)
    plan = repeated(plan, asked.repeat)
    if asked.resume is not None:
        folder = _find_run(asked.resume, outputs)
        plan, outputs = resumed(plan, folder), folder.parent
    failed_first = asked.failed_first or asked.is_fast
    longest_first = asked.at_once > 1
    plan = _with_turns(plan, outputs, longest_first=longest_first, failed_first=failed_first)
    return plan, outputs


def _settings(asked: Asked, root: Path, outputs: Path) -> RunSettings:
    variables = IsolatedEnvironment.of_process().as_mapping()
    return RunSettings(
        output_root=outputs,
        environment=variables,
        cache=default_cache(variables),
        allow_hosts=tuple(asked.allow_hosts),
        working_folder=root,
        workers=asked.at_once,
        fail_fast=asked.fail_fast or asked.is_fast,
        coverage=asked.coverage,
    )


def _with_turns(plan: Plan, outputs: Path, *, longest_first: bool, failed_first: bool) -> Plan:
    """The plan with the order in which its notebooks are begun."""
    if not (longest_first or failed_first):
        return plan
    past = read_past(outputs, [job.written for job in plan.jobs])
    turns = in_turn(plan.jobs, past, longest_first=longest_first, failed_first=failed_first)
    return replace(plan, turns=turns)


def _known(project: Project | None, plan: Plan) -> Sequence[CatchesKnown]:
    """What the project keeps of the checks that will be executed."""
    kept = read_kept(project.proven) if project else ()
    catches = known_catches(kept, plan.jobs)
    return [CatchesKnown(time.time(), catches)] if catches else []


@contextlib.contextmanager
def without_papermills_warnings() -> Iterator[None]:
    """Without its warnings of parameters that no cell declares: the plan has judged those."""
    log = logging.getLogger("papermill")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _require_targets(plan: Plan) -> None:
    """Load the targets that were given; a notebook tells for itself what is wrong with its own."""
    for job in plan.jobs:
        if job.target is not None and job.checks and "target" in job.parameters:
            load_target(job.target)


def report(run: str) -> int:
    """Rebuild all reports of a run and tell its verdict; 0, since that could be done.

    Raises `UsageError` when there is no such run or its journal cannot be read, and
    `InfrastructureError` where its reports cannot be written.
    """
    folder = _find_run(run, outputs_of(Path.cwd()))
    result = build_reports(folder, proof_reports)
    if result.proof is None:
        tell_result(result, folder, console())
    else:
        tell_proof(result, matrix_of(result.proof, result), folder, console())
    return 0


def outputs_of(here: Path) -> Path:
    """Where runs go, and are looked for: the project's own place, else here."""
    project = nearest_project(here)
    return project.outputs if project else here / "outputs"


def _find_run(name: str, outputs: Path) -> Path:
    """The folder of a run, given by its path, its id or as `latest`."""
    latest = outputs / LATEST
    if name == LATEST and latest.is_file():  # where links are not allowed
        name = latest.read_text(encoding="utf-8").strip()
    candidates = (outputs / name, Path(name))
    found = next((folder for folder in candidates if (folder / JOURNAL).is_file()), None)
    if found is None:
        raise UsageError(
            f"{name!r:.200} is neither a run in {near(outputs)} nor the folder of one; name one"
            f" by its id, its path or {LATEST}"
        )
    return found.resolve()


def tell_result(result: RunResult, folder: Path, out: Console) -> None:
    """What is red, how steady repeated checks were, the verdict, and what can be done next."""
    for line in _red_lines(troubles(result)):
        out.print(line, soft_wrap=True)
    for figure in figures(result):
        out.print(figure)
    for steady in steady_lines(result):
        out.print(steady, soft_wrap=True)
    style = "bold green" if result.is_green else "bold red"
    page = near(folder / "index.html")
    out.print(Text.assemble((verdict(result), style), f" · {page}"), soft_wrap=True)
    if result.unfinished and not result.secrets:
        again = f"labkit run --resume {result.run}"
        out.print(f"to go on: {again} (with the same areas and options)", soft_wrap=True)


def _red_lines(found: Collection[Trouble]) -> Iterator[Text]:
    """A line for each; all checks of a notebook whose cells never ran have one together."""
    never_ran = Counter(one.notebook for one in found if one.reason == NEVER_RAN)
    for one in found:
        number = never_ran.pop(one.notebook, 0) if one.reason == NEVER_RAN else 1
        if number > 1:
            yield _line(replace(one, check="", detail=f"the cells of {number} checks never ran"))
        elif number:
            yield _line(one)


def _line(trouble: Trouble) -> Text:
    sign = f"{SYMBOLS[trouble.outcome]} {trouble.outcome}"
    name = " / ".join(part for part in (trouble.notebook, trouble.check) if part) or "the run"
    why = f"({trouble.reason}) {gist(trouble.detail)}".rstrip()
    return Text.assemble((sign, _STYLES[trouble.outcome]), f" {name} ", (why, "dim"))
