"""`labkit prove`: notebooks against sabotages, and which check noticed which."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from labkit.batch.plan import Plan, make_plan
from labkit.batch.progress import progress
from labkit.batch.run import RunSettings, run_plan
from labkit.commands.console import console, near, print_hanging
from labkit.commands.proof import tell_proof
from labkit.commands.run import outputs_of, tell_result, without_papermills_warnings
from labkit.environment import IsolatedEnvironment
from labkit.ids import RunID
from labkit.notebook import NotebookSource
from labkit.project import Project, nearest_project
from labkit.prove.kept import Proven, keep_proof, read_kept
from labkit.prove.lines import TrialLines
from labkit.prove.matrix import Matrix, matrix_of
from labkit.prove.pages import proof_reports
from labkit.prove.trials import plan_proof, target_of
from labkit.reports.results import RunResult
from labkit.sabotage import Sabotage
from labkit.services.places import default_cache
from labkit.targets.loading import importing_from, load_sabotages, require_sabotages
from labkit.warm.owner import WarmProcess

_TRIAL_DEADLINE_S: Final = 600.0


def prove(
    areas: Sequence[str],
    *,
    names: Sequence[str],
    repeat: int,
    sweep: bool,
    only_list: bool,
    target: str | None,
    allow_hosts: Sequence[str],
    workers: int | None,
    warm: WarmProcess | None,
) -> int:
    """Try the sabotages and tell what was shown, or list them; the proof's exit code.

    Raises `UsageError` or `TargetError`, with all that is wrong, before anything is started.
    """
    here = Path.cwd()
    project = nearest_project(here)
    root = project.root if project else here
    plan = _plan(project, areas, target)
    with importing_from(root), without_papermills_warnings():
        sabotages = load_sabotages(target_of(plan))
        if only_list:
            return _list(sabotages, plan, whole=not areas, out=console())
        trials, started = plan_proof(
            plan,
            sabotages,
            listing=_listing(areas, target),
            names=names,
            repeat=repeat,
            sweep=sweep,
            is_whole=not areas,
        )
        tried = {trial.sabotage for trial in started.trials}
        require_sabotages(one for one in sabotages if one.name in tried)
        if project:
            read_kept(project.proven)  # what nobody could add to is refused here
        settings = _settings(here, root, allow_hosts, workers)
        with progress(console(stderr=True), TrialLines()) as watch:
            running = run_plan(
                trials, settings, watch, beginning=[started], further=proof_reports, warm=warm
            )
            folder, result = asyncio.run(running)
    if result.proof is None:  # the journal is withheld, and with it what was tried
        tell_result(result, folder, console())
        return result.exit_code
    matrix = matrix_of(result.proof, result)
    tell_proof(result, matrix, folder, console())
    if project and matrix.is_complete:
        proven = Proven(target_of(plan), result, matrix, _own_notebooks(plan, project))
        if keep_proof(project.proven, proven):
            console().print(f"kept in {near(project.proven)}", soft_wrap=True)
    return _exit_code(result, matrix)


def _own_notebooks(plan: Plan, project: Project) -> Mapping[str, NotebookSource]:
    """The project's own: another of the same name is not the one of which something is known."""
    own = project.notebooks.resolve()
    return {
        job.name: job.notebook for job in plan.jobs if job.notebook.path.resolve().parent == own
    }


def _listing(areas: Sequence[str], target: str | None) -> str:
    """The command that shows the sabotages of the same notebooks and platform."""
    of_target = [] if target is None else ["--target", target]
    return shlex.join(["labkit", "prove", *areas, *of_target, "--list"])


def _plan(project: Project | None, areas: Sequence[str], target: str | None) -> Plan:
    """The notebooks as a run would execute them, with the sizes of the tests."""
    return make_plan(
        project,
        areas,
        run=RunID.new(),
        environment="test",
        deadline_s=_TRIAL_DEADLINE_S,
        raws=[] if target is None else [("target", target)],
    )


def _settings(
    here: Path, root: Path, allow_hosts: Sequence[str], workers: int | None
) -> RunSettings:
    variables = IsolatedEnvironment.of_process().as_mapping()
    return RunSettings(
        output_root=outputs_of(here),
        environment=variables,
        cache=default_cache(variables),
        allow_hosts=tuple(allow_hosts),
        working_folder=root,
        workers=workers or os.cpu_count() or 1,
    )


def _exit_code(result: RunResult, matrix: Matrix) -> int:
    """That of the run, where it did not come to its end as it had to; else the matrix's."""
    if result.problems:
        return max(result.exit_code, 1)
    return 0 if matrix.passes else 1


def _list(sabotages: Sequence[Sabotage], plan: Plan, *, whole: bool, out: Console) -> int:
    """Show the sabotages that concern the plan's notebooks."""
    declared = {check.name for job in plan.jobs for check in job.checks}
    for one in sabotages:
        checks = [catch.check for catch in one.must if whole or catch.check in declared]
        if not checks:
            continue
        heading = Text.assemble((one.name, "bold"), f"  {one.area}")
        out.print(heading, soft_wrap=True)
        for label, text in (
            ("", one.fault),
            ("breaks ", one.promise),
            ("stands for ", one.stands_for),
            ("caught by ", ", ".join(f"{c.check} ({c.reason})" for c in one.must)),
        ):
            print_hanging(out, Text(f"  {label}", style="cyan"), Text(text))
    return 0
