"""What a person sees while a proof goes on: a line for each trial, with what turned red in it."""

from __future__ import annotations

from collections import defaultdict

from rich.text import Text

from labkit.batch.progress import describe
from labkit.journal import CheckEnded, Ending, Entry, NotebookEnded, NotebookStarted
from labkit.records import Outcome


class TrialLines:
    """Gives the line for an entry of a proof's journal; whether red is right, the matrix tells."""

    def __init__(self) -> None:
        self._ended: defaultdict[str, list[CheckEnded]] = defaultdict(list)

    def __call__(self, entry: Entry) -> Text | None:
        """The line; None for what needs none of its own."""
        match entry:
            case NotebookStarted():
                return None
            case CheckEnded():
                self._ended[entry.notebook].append(entry)
                return None
            case NotebookEnded(ending=Ending.REACHED_THE_END):
                return self._line(entry)
            case _:
                return describe(entry)

    def _line(self, entry: NotebookEnded) -> Text:
        ended = self._ended.pop(entry.notebook, [])
        red = [one for one in ended if one.outcome in {Outcome.FAILED, Outcome.BROKEN}]
        told = [f"{one.check} {one.outcome} ({one.reason})" for one in red]
        line = Text(f"{entry.notebook} {entry.seconds:.1f} s: ")
        return line.append(", ".join(told) or "nothing is red", style="" if told else "dim")
