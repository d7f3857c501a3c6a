"""A plan whose notebooks are executed several times, to see how steady their checks are."""

from __future__ import annotations

from dataclasses import replace

from labkit.batch.plan import Plan, unique_names


def repeated(plan: Plan, times: int) -> Plan:
    """The plan with each notebook `times` times, each execution under a name of its own."""
    if times == 1:
        return plan
    jobs = [job for job in plan.jobs for _ in range(times)]
    names = unique_names(job.name for job in jobs)
    return replace(
        plan,
        jobs=tuple(
            replace(job, name=name, repeats=job.name) for name, job in zip(names, jobs, strict=True)
        ),
    )
