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
    listing: str,
    names: Sequence[str] = (),
    repeat: int = 1,
    sweep: bool = False,
    is_whole: bool = True,
) -> tuple[Plan, ProofStarted]:
    """The plan of all trials: each notebook clean, and against the sabotages that concern it.

    A sabotage concerns the notebooks that declare a check of its `must`; with `sweep` all. `names`
    selects sabotages, and then the notebooks that those concern. Each trial is done `repeat` times.
    `listing` is the command that shows them.

    Raises `UsageError` where a name is unknown or concerns none of the notebooks, or nothing is
    left to try.
    """
    chosen = _chosen(sabotages, names, listing)
    if names and not sweep:
        _refuse_idle(chosen, plan, listing)
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
        raise UsageError(
            f"no sabotage concerns these notebooks; {listing} shows them all, and their platform is"
            " what brings them, as `sabotages`"
        )
    started = ProofStarted(time.time(), tuple(sabotages), tuple(trials), is_whole and not names)
    return replace(plan, jobs=tuple(jobs)), started


def _chosen(
    sabotages: Sequence[Sabotage], names: Sequence[str], listing: str
) -> Sequence[Sabotage]:
    known = {one.name: one for one in sabotages}
    for name in names:
        if name not in known:
            near = _near(name, tuple(known))
            advice = f"did you mean {' or '.join(near)}? " if near else ""
            raise UsageError(f"there is no sabotage {name!r:.80}; {advice}{listing} shows them")
    return [one for one in sabotages if not names or one.name in names]


def _near(name: str, known: Sequence[str]) -> Sequence[str]:
    """At most three names that a wrong one may stand for: with that word in them, or alike."""
    holding = [one for one in known if name and name in one]
    return holding[:3] or get_close_matches(name, known, n=1)


def _refuse_idle(chosen: Sequence[Sabotage], plan: Plan, listing: str) -> None:
    """Refuse sabotages that were named, and would not be tried."""
    idle = [one for one in chosen if not any(_concerns(one, job) for job in plan.jobs)]
    if idle:
        told = ", ".join(f"{one.name} concerns {one.area}" for one in idle)
        names = ", ".join(job.name for job in plan.jobs)
        raise UsageError(f"{told}, not {names}; name its area, or see {listing}")


def _concerns(sabotage: Sabotage, job: Job) -> bool:
    return any(sabotage.expected(check.name) is not None for check in job.checks)


def _job(job: Job, sabotage: Sabotage | None, number: int) -> Job:
    """The job against a sabotage, under a name of its own."""
    parts = [job.name, *([sabotage.name] if sabotage else []), *([str(number)] * (number > 1))]
    parameters = {**job.parameters, "target": sabotage.target} if sabotage else job.parameters
    return replace(job, name="--".join(parts), parameters=parameters)
