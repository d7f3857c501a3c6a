"""What a person sees while a proof goes on: a line for each trial, with what turned red in it."""

from __future__ import annotations

from collections import defaultdict

from rich.text import Text

from labkit.batch.progress import describe
from labkit.journal import (
    CheckEnded,
    Ending,
    Entry,
    NotebookEnded,
    NotebookStarted,
    ProofStarted,
    RunStarted,
)
from labkit.records import Outcome
from labkit.reports.texts import counted


class TrialLines:
    """Gives the line for an entry of a proof's journal; whether red is right, the matrix tells."""

    def __init__(self) -> None:
        self._began: RunStarted | None = None
        self._ended: defaultdict[str, list[CheckEnded]] = defaultdict(list)

    def __call__(self, entry: Entry) -> Text | None:
        """The line; None for what needs none of its own."""
        match entry:
            case RunStarted():
                self._began = entry
                return None
            case ProofStarted():
                return self._head(entry)
            case NotebookStarted():
                return None
            case CheckEnded():
                self._ended[entry.notebook].append(entry)
                return None
            case NotebookEnded(ending=Ending.REACHED_THE_END):
                return self._line(entry)
            case _:
                return describe(entry)

    def _head(self, entry: ProofStarted) -> Text | None:
        if self._began is None:
            return None
        of_trial = {book.name: book.checks for book in self._began.notebooks}
        checks = {
            (one.notebook, check.name) for one in entry.trials for check in of_trial[one.name]
        }
        told = (
            counted(len({one.notebook for one in entry.trials}), "notebook"),
            counted(len(checks), "check"),
            counted(len({one.sabotage for one in entry.trials if one.sabotage}), "sabotage"),
        )
        trials = counted(len(entry.trials), "trial")
        return Text(f"run {self._began.run}: {', '.join(told)}: {trials}", style="bold")

    def _line(self, entry: NotebookEnded) -> Text:
        ended = self._ended.pop(entry.notebook, [])
        red = [one for one in ended if one.outcome in {Outcome.FAILED, Outcome.BROKEN}]
        told = [f"{one.check} {one.outcome} ({one.reason})" for one in red]
        line = Text(f"{entry.notebook} {entry.seconds:.1f} s: ")
        return line.append(", ".join(told) or "nothing is red", style="" if told else "dim")
