"""Where the time of a run went, for who asked for it with `--profile`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from labkit.journal import Phase
from labkit.reports.results import NotebookResult, RunResult

OPTION: Final = "--profile"

PHASES: Final = tuple(Phase)
"""The columns of a profile, which add up to the whole with `rest_s`."""


@dataclass(frozen=True)
class Profile:
    """One execution of a notebook."""

    name: str
    spent_s: tuple[float, ...]
    """Seconds for each of `PHASES`."""
    whole_s: float

    @property
    def rest_s(self) -> float:
        """What none of the phases accounts for."""
        return max(0.0, self.whole_s - sum(self.spent_s))


def profiles(run: RunResult) -> tuple[Profile, ...]:
    """What the time of each notebook that ran was spent on; empty where nobody asked."""
    if OPTION not in run.options.split():
        return ()
    return tuple(_profile(book) for book in run.notebooks if book.seconds)


def _profile(notebook: NotebookResult) -> Profile:
    seconds = {spent.phase: spent.seconds for spent in notebook.spent}
    spent = tuple(seconds.get(phase, 0.0) for phase in PHASES)
    return Profile(notebook.name, spent, notebook.seconds)
