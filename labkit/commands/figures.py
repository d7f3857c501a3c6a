"""Figures of a run for a terminal: where its time went, and what it covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from labkit.reports.covered import table_of
from labkit.reports.profile import PHASES, Profile, profiles
from labkit.reports.results import RunResult
from labkit.reports.texts import duration

_LEAST_COVERED: Final = 10
"""How many modules are shown."""


def figures(run: RunResult) -> Iterator[RenderableType]:
    """The tables that were asked for."""
    if spent := profiles(run):
        yield _profile_table(spent)
        if run.services_s is not None:
            yield Text(f"the services answered after {duration(run.services_s)}", style="dim")
    if run.coverage is not None:
        table = table_of(run.coverage)
        whole = f"{table.all.share} of {table.all.statements:,} statements ran"
        yield Text(f"coverage: {whole}; the least covered of {len(table.modules)} modules:")
        for module in table.modules[:_LEAST_COVERED]:
            yield Text(f"  {module.share:>7}  {module.module}", style="dim")


def _profile_table(spent: tuple[Profile, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("seconds of")
    for phase in PHASES:
        table.add_column(phase.value, justify="right")
    table.add_column("else", justify="right")
    table.add_column("all", justify="right", style="bold")
    for one in spent:
        seconds = (*one.spent_s, one.rest_s, one.whole_s)
        table.add_row(one.name, *(f"{value:.2f}" for value in seconds))
    return table
