"""Which notebooks are executed against which platforms, decided before anything starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from labkit.batch.plan import Job, Plan
from labkit.errors import UsageError
from labkit.journal import ProofStarted
from labkit.sabotage import Sabotage, Trial


def target_of(plan: Plan) -> str:
    """The platform whose sabotages the plan's notebooks are tried against.

    Raises `UsageError` where a notebook names none, or not all name the same.
    """
    deaf = [job.name for job in plan.jobs if job.target is None]
    if deaf:
        raise UsageError(
            f"{', '.join(deaf)}: without a parameter 'target' there is no platform to put a faulty"
            " one in the place of; declare it, or name other areas"
        )
    targets = sorted({job.target for job in plan.jobs if job.target is not None})
    if len(targets) > 1:
        raise UsageError(f"the notebooks have different targets, {', '.join(targets)}; give one")
    return targets[0]


def plan_proof(
    plan: Plan,
    sabotages: Sequence[Sabotage],
    *,
    names: Sequence[str] = (),
    repeat: int = 1,
    sweep: bool = False,
    is_whole: bool = True,
) -> tuple[Plan, ProofStarted]:
    """The plan of all trials: each notebook clean, and against the sabotages that concern it.

    A sabotage concerns the notebooks that declare a check of its `must`; with `sweep` all. `names`
    selects sabotages, and then the notebooks that those concern. Each trial is done `repeat` times.

    Raises `UsageError` where a name is unknown, or nothing is left to try.
    """
    chosen = _chosen(sabotages, names)
    trials, jobs = [], []
    for job in plan.jobs:
        concerning = [one for one in chosen if sweep or _concerns(one, job)]
        if names and not concerning:
            continue
        for sabotage in (None, *concerning):
            for number in range(1, repeat + 1):
                made = _job(job, sabotage, number)
                jobs.append(made)
                trials.append(Trial(made.name, job.name, sabotage.name if sabotage else ""))
    if all(not trial.sabotage for trial in trials):
        raise UsageError("no sabotage concerns these notebooks; labkit prove --list shows them all")
    started = ProofStarted(time.time(), tuple(sabotages), tuple(trials), is_whole and not names)
    return replace(plan, jobs=tuple(jobs)), started


def _chosen(sabotages: Sequence[Sabotage], names: Sequence[str]) -> Sequence[Sabotage]:
    known = {one.name: one for one in sabotages}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else "labkit prove --list shows them all"
            raise UsageError(f"there is no sabotage {name!r:.80}; {advice}")
    return [one for one in sabotages if not names or one.name in names]


def _concerns(sabotage: Sabotage, job: Job) -> bool:
    return any(sabotage.expected(check.name) is not None for check in job.checks)


def _job(job: Job, sabotage: Sabotage | None, number: int) -> Job:
    """The job against a sabotage, under a name of its own."""
    parts = [job.name, *([sabotage.name] if sabotage else []), *([str(number)] * (number > 1))]
    parameters = {**job.parameters, "target": sabotage.target} if sabotage else job.parameters
    return replace(job, name="--".join(parts), parameters=parameters)
