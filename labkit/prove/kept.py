"""What checks are known to catch, kept beside a project's notebooks.

Proofs put it there, and runs tell it in their reports. Trials of the same notebook add up
over proofs; those of a notebook that was changed since begin anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.batch.plan import Job
from labkit.errors import RecordError, UsageError
from labkit.prove.matrix import Cell, Matrix
from labkit.records import from_json
from labkit.reports.results import RunResult
from labkit.sabotage import KnownCatch


@dataclass(frozen=True)
class Kept:
    """How often a check caught a sabotage, and when it was last tried."""

    notebook: str
    check: str
    sabotage: str
    fault: str
    caught: int
    trials: int
    shown_at: float
    """Seconds since the epoch."""
    labkit: str
    source: str
    """A digest of the notebook with which it was shown."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is about."""
        return (self.notebook, self.check, self.sabotage)


def digest(notebook: Path) -> str:
    """Tells a notebook's code apart from every other: outputs, prose and metadata do not count."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def read_kept(path: Path) -> tuple[Kept, ...]:
    """What the file holds; nothing where there is none.

    Raises `UsageError` where it cannot be read.
    """
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))
        return tuple(from_json(Kept, line) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, RecordError) as error:
        text = f"{path} is not what a proof keeps ({error}); remove it, and labkit prove makes it"
        raise UsageError(text) from error


def write_kept(path: Path, kept: Iterable[Kept]) -> None:
    """Write the file, a line for each catch, in an order of its own.

    Raises `UsageError` where it cannot be written.
    """
    ordered = sorted(kept, key=lambda one: one.key)
    lines = ",\n".join(json.dumps(asdict(one), ensure_ascii=False) for one in ordered)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        text = f"what was caught cannot be kept in {path} ({error.strerror})"
        raise UsageError(
            f"{text}; the proof itself is done, see outputs/latest/proof.html"
        ) from error


def merged(
    before: Sequence[Kept], run: RunResult, matrix: Matrix, sources: Mapping[str, str]
) -> tuple[Kept, ...]:
    """What is kept after a proof: what it tried counts on, or anew where the notebook is another.

    `sources` are the digests of its notebooks, by name.
    """
    kept = {one.key: one for one in before}
    faults = {one.name: one.fault for one in matrix.sabotages}
    for cell in matrix.cells.values():
        if cell.expected:
            fault, source = faults[cell.sabotage], sources[cell.row.notebook]
            now = _kept(cell, run, fault, source)
            old = kept.get(now.key)
            kept[now.key] = _added(old, now) if old and old.source == source else now
    return tuple(one for one in kept.values() if one.caught)


def _kept(cell: Cell, run: RunResult, fault: str, source: str) -> Kept:
    return Kept(
        notebook=cell.row.notebook,
        check=cell.row.check,
        sabotage=cell.sabotage,
        fault=fault,
        caught=cell.caught,
        trials=len(cell.shown),
        shown_at=run.started_at,
        labkit=run.labkit,
        source=source,
    )


def _added(old: Kept, now: Kept) -> Kept:
    return replace(now, caught=old.caught + now.caught, trials=old.trials + now.trials)


def known_catches(kept: Iterable[Kept], jobs: Iterable[Job]) -> tuple[KnownCatch, ...]:
    """What is known of the checks that these jobs will execute, under the jobs' names."""
    kept = tuple(kept)
    known = []
    for job in jobs:
        checks = {check.name for check in job.checks}
        source = digest(job.source)
        known += [
            _known(one, job, source)
            for one in kept
            if one.notebook == job.notebook.name and one.check in checks
        ]
    return tuple(known)


def _known(kept: Kept, job: Job, source: str) -> KnownCatch:
    return KnownCatch(
        notebook=job.name,
        check=kept.check,
        sabotage=kept.sabotage,
        fault=kept.fault,
        caught=kept.caught,
        trials=kept.trials,
        shown_at=kept.shown_at,
        labkit=kept.labkit,
        is_current=kept.source == source,
    )
