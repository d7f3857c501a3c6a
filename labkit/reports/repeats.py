"""How steady the checks of a run were that executed its notebooks several times.

A repetition hides nothing: the verdict is that of all executions, and one red is red.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from labkit.records import Outcome
from labkit.reports.results import CheckResult, RunResult

_Z: Final = 1.959963984540054
"""The quantile of the normal distribution that leaves 2.5 % at each side."""


@dataclass(frozen=True)
class Steadiness:
    """One check over all executions of its notebook in which it was asked for."""

    notebook: str
    check: str
    claim: str
    times: int
    green: int
    """How often it passed or was skipped."""

    @property
    def flake_rate(self) -> float:
        """The share of executions in which it was not green, from 0 to 1."""
        return (self.times - self.green) / self.times

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true rate lies with 95 % confidence, after Wilson."""
        return wilson(self.times - self.green, self.times)

    @property
    def rate(self) -> str:
        """The flake rate with its interval for a reader, such as `5.0 % (95 %: 0.9 to 23.6 %)`."""
        low, high = (f"{100 * bound:.1f}" for bound in self.interval)
        return f"{100 * self.flake_rate:.1f} % (95 %: {low} to {high} %)"

    @property
    def sentence(self) -> str:
        """All of it in a few words."""
        return f"{self.green} of {self.times} green, flake rate {self.rate}"


def wilson(hits: int, times: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share of which `hits` of `times` trials were seen."""
    share, square = hits / times, _Z**2
    middle = (share + square / (2 * times)) / (1 + square / times)
    spread = _Z * math.sqrt(share * (1 - share) / times + square / (4 * times**2))
    half = spread / (1 + square / times)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == times else min(1.0, middle + half)


def steadiness(run: RunResult) -> tuple[Steadiness, ...]:
    """Each check of each notebook that was executed several times, the least steady first.

    Executions in which a check was deselected do not count; one that left no result does, as not
    green.
    """
    found: defaultdict[tuple[str, str], list[CheckResult]] = defaultdict(list)
    for notebook in run.notebooks:
        for check in notebook.checks if notebook.repeats else ():
            if check.outcome is not Outcome.DESELECTED:
                found[notebook.repeats, check.name].append(check)
    told = [_of_check(*names, checks) for names, checks in found.items()]
    return tuple(sorted(told, key=lambda one: -one.flake_rate))


def _of_check(notebook: str, name: str, checks: Sequence[CheckResult]) -> Steadiness:
    green = sum(check.outcome.is_green for check in checks)
    return Steadiness(notebook, name, checks[0].claim, len(checks), green)


def steadiness_json(run: RunResult) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "notebook": one.notebook,
            "check": one.check,
            "times": one.times,
            "green": one.green,
            "flake_rate": one.flake_rate,
            "flake_rate_95": one.interval,
        }
        for one in steadiness(run)
    ]
