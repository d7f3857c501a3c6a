"""Figures of a run for a terminal: where its time went, what it covered, how steady it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from labkit.reports.covered import table_of
from labkit.reports.profile import PHASES, Profile, profiles
from labkit.reports.repeats import steadiness
from labkit.reports.results import RunResult
from labkit.reports.texts import counted, duration

_LEAST_COVERED: Final = 10
"""How many modules are shown."""


def figures(run: RunResult) -> Iterator[RenderableType]:
    """The tables that were asked for."""
    if spent := profiles(run):
        yield _profile_table(spent)
        yield Text(_of_the_run(run), style="dim")
    if run.coverage is not None:
        table = table_of(run.coverage)
        whole = f"{table.all.share} of {table.all.statements:,} statements ran"
        yield Text(f"coverage: {whole}; the least covered of {len(table.modules)} modules:")
        for module in table.modules[:_LEAST_COVERED]:
            yield Text(f"  {module.share:>7}  {module.module}", style="dim")


def steady_lines(run: RunResult) -> Iterator[str]:
    """How steady repeated checks were: each that was not always green, and the others together."""
    told = steadiness(run)
    unsteady = [one for one in told if one.green < one.times]
    for one in unsteady:
        yield f"{one.notebook} / {one.check}: {one.sentence}"
    noun = "other check" if unsteady else "check"
    for times in sorted({one.times for one in told}):
        alike = [one for one in told if one.green == one.times == times]
        if alike:
            each = "each of " if len(alike) > 1 else ""
            was_green = f"was green {times} of {times} times, flake rate {alike[0].rate}"
            yield f"{each}{counted(len(alike), noun)} {was_green}"


def _of_the_run(run: RunResult) -> str:
    """What the table's seconds are to be seen beside."""
    told = f"seconds of each notebook; the run itself took {duration(run.seconds)}"
    if run.services_s is None or run.begun_s is None:
        return told
    told = f"{told}, the services answered after {duration(run.services_s)}"
    return f"{told}, and the first notebook began after {duration(run.begun_s)}"


def _profile_table(spent: tuple[Profile, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("notebook")
    for phase in PHASES:
        table.add_column(phase.value, justify="right")
    table.add_column("other", justify="right")
    table.add_column("total", justify="right", style="bold")
    for one in spent:
        seconds = (*one.spent_s, one.rest_s, one.whole_s)
        table.add_row(one.name, *(f"{value:.2f}" for value in seconds))
    return table
