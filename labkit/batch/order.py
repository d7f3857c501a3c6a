"""In which order a run begins its notebooks; what it tells of them keeps the plan's order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from labkit.batch.plan import Job
from labkit.reports.past import Past

_NEW = Past(seconds=math.inf, is_red=False)
"""A notebook that never ran may take long."""


def in_turn(
    jobs: Sequence[Job],
    past: Mapping[str, Past],
    *,
    longest_first: bool,
    failed_first: bool,
) -> tuple[str, ...]:
    """The jobs' names in the order in which to begin them, by how their notebooks went before.

    Longest first keeps several workers busy until the end. Red ones come before all others, and
    what nothing tells apart keeps the order of the plan.
    """

    def rank(job: Job) -> tuple[bool, float]:
        known = past.get(job.written, _NEW)
        return (failed_first and not known.is_red, -known.seconds if longest_first else 0.0)

    return tuple(job.name for job in sorted(jobs, key=rank))
