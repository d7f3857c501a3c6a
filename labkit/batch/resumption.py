"""A run that was cancelled or killed goes on: in its own folder, with what has no result yet.

A notebook is executed as a whole or not at all, since its checks share a kernel and a lease. What
has a result keeps it, as long as notebooks and parameters are those that it was made with.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import labkit
from labkit.batch.plan import Plan
from labkit.errors import UsageError
from labkit.ids import RunID
from labkit.journal import Entry, NotebookEnded, ProofStarted, RunStarted, SecretFound
from labkit.reports.read import JOURNAL, read_entries


def resumed(plan: Plan, folder: Path) -> Plan:
    """The plan as what is left to do of the run in `folder`, which was made by the same plan.

    Raises `UsageError` where that run is another one, or nothing is left.
    """
    entries = read_entries(folder)
    faults = [*_hindrances(entries), *_differences(plan, entries, folder)]
    if faults:
        told = "; ".join(faults)
        raise UsageError(f"run {folder.name} cannot go on: {told}; start a new run")
    ended = {
        entry.notebook
        for entry in entries
        if isinstance(entry, NotebookEnded) and entry.ending.is_result
    }
    remaining = frozenset(job.name for job in plan.jobs if not job.is_deselected) - ended
    if not remaining:
        raise UsageError(f"run {folder.name} has a result of each notebook; nothing is left to do")
    return replace(plan, run=RunID.parse(folder.name), remaining=remaining)


def _hindrances(entries: tuple[Entry, ...]) -> Iterator[str]:
    kinds = {type(entry) for entry in entries}
    if ProofStarted in kinds:
        yield "it is a proof"
    if SecretFound in kinds:
        yield "a secret was found in it"


def _differences(plan: Plan, entries: tuple[Entry, ...], folder: Path) -> Iterator[str]:
    """What keeps old and new results from being those of one run."""
    started = next(entry for entry in entries if isinstance(entry, RunStarted))
    if started.run != folder.name:
        yield f"its folder was renamed from {started.run}"
    if started.labkit != labkit.__version__:
        yield f"it was made by labkit {started.labkit}, and this is {labkit.__version__}"
    before = {notebook.name: notebook.digest for notebook in started.notebooks}
    now = {job.name: job.digest for job in plan.jobs}
    if list(before) != list(now):
        yield f"it was asked for {', '.join(before)}, and now for {', '.join(now)}"
        return
    others = [name for name, digest in before.items() if digest != now[name]]
    if others:
        options = started.options or "no options"
        text = f"the code, parameters or selected checks of {', '.join(others)} are others now"
        yield f"{text} (it was asked for with {options})"


@contextlib.contextmanager
def held_journal(folder: Path) -> Iterator[TextIO]:
    """The journal to append to, held for this process alone, however that ends.

    A line that was cut off in the middle, as by a kill, is removed. Raises `UsageError` where the
    run still goes on.
    """
    with (folder / JOURNAL).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"run {folder.name} still goes on; end it, or wait until it has ended"
            raise UsageError(text) from error
        whole = (folder / JOURNAL).read_bytes().rpartition(b"\n")
        file.truncate(len(whole[0] + whole[1]))
        yield file
