"""What checks are known to catch, kept beside a project's notebooks.

Proofs put it there, and runs tell it in their reports. Trials of the same notebook add up
over proofs; those of a notebook that was changed since begin anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from labkit.batch.plan import Job
from labkit.errors import InfrastructureError, RecordError, UsageError
from labkit.notebook import NotebookSource
from labkit.prove.matrix import Cell, Matrix
from labkit.records import from_json
from labkit.reports.results import RunResult
from labkit.sabotage import KnownCatch

_PATIENCE_S: Final = 10.0
"""How long a proof waits for its turn to write, which takes others a few milliseconds."""
_PAUSE_S: Final = 0.01


@dataclass(frozen=True)
class Kept:
    """How often a check caught a sabotage, and when it was last tried."""

    platform: str
    """The target whose sabotage it is."""
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
    def key(self) -> tuple[str, str, str, str]:
        """What it is about."""
        return (self.platform, self.notebook, self.check, self.sabotage)


@dataclass(frozen=True)
class Proven:
    """A proof that was made."""

    platform: str
    run: RunResult
    matrix: Matrix
    notebooks: Mapping[str, NotebookSource]
    """Those whose catches are to be kept, by the names that the matrix gives them."""

    @property
    def expecting(self) -> Iterator[Cell]:
        """The cells of these notebooks in which a check has to catch."""
        cells = self.matrix.cells.values()
        return (one for one in cells if one.expected and one.row.notebook in self.notebooks)


def read_kept(path: Path) -> tuple[Kept, ...]:
    """What the file holds; nothing where there is none.

    Raises `UsageError` where it cannot be read, or is no file that ends.
    """
    try:
        lines = json.loads(_text_of(path))
        return tuple(from_json(Kept, line) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, RecursionError, RecordError) as error:
        text = f"{path} is not what a proof keeps ({error}); remove it, and labkit prove makes it"
        raise UsageError(text) from error


def _text_of(path: Path) -> str:
    """What stands in a file; of a pipe, nobody knows whether it ever comes."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    return path.read_text(encoding="utf-8")


def keep_proof(path: Path, proven: Proven) -> bool:
    """Put into the file what a proof showed; whether it caught anything. Several take turns.

    Raises `UsageError` where what is there cannot be read, and `InfrastructureError` where the file
    cannot be written or others do not let go of it.
    """
    try:
        with _turn_to_write(path):
            write_kept(path, merged(read_kept(path), proven))
    except OSError as error:
        text = f"what was caught cannot be kept in {path}: {error.strerror or error}"
        raise InfrastructureError(
            f"{text}; the proof itself is done, see outputs/latest/proof.html"
        ) from error
    return any(cell.caught for cell in proven.expecting)


def write_kept(path: Path, kept: Iterable[Kept]) -> None:
    """Write the file, a line for each catch, in an order of its own.

    Raises `OSError` where it cannot be written; then the former one stays.
    """
    ordered = sorted(kept, key=lambda one: one.key)
    lines = ",\n".join(json.dumps(asdict(one), ensure_ascii=False) for one in ordered)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _turn_to_write(path: Path) -> Iterator[None]:
    """Nobody else's turn it is inside the block; its folder is the lock, which leaves no file.

    Raises `TimeoutError` where others hold it too long.
    """
    deadline = time.monotonic() + _PATIENCE_S
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while not _locks(folder):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held {path.parent} for {_PATIENCE_S:g} s")
            time.sleep(_PAUSE_S)
        for left in path.parent.glob(f".{path.name}.*.part"):  # by one that was killed
            left.unlink()
        yield
    finally:
        os.close(folder)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def merged(before: Sequence[Kept], proven: Proven) -> tuple[Kept, ...]:
    """What is kept after a proof: what it tried counts on, or anew with another notebook."""
    kept = {one.key: one for one in before}
    faults = {one.name: one.fault for one in proven.matrix.sabotages}
    for cell in proven.expecting:
        now = _kept(cell, proven, faults[cell.sabotage])
        old = kept.get(now.key)
        kept[now.key] = _added(old, now) if old and old.source == now.source else now
    return tuple(one for one in kept.values() if one.caught)


def _kept(cell: Cell, proven: Proven, fault: str) -> Kept:
    notebook = proven.notebooks[cell.row.notebook]
    return Kept(
        platform=proven.platform,
        notebook=notebook.name,
        check=cell.row.check,
        sabotage=cell.sabotage,
        fault=fault,
        caught=cell.caught,
        trials=len(cell.shown),
        shown_at=proven.run.started_at,
        labkit=proven.run.labkit,
        source=notebook.digest,
    )


def _added(old: Kept, now: Kept) -> Kept:
    return replace(now, caught=old.caught + now.caught, trials=old.trials + now.trials)


def known_catches(kept: Iterable[Kept], jobs: Iterable[Job]) -> tuple[KnownCatch, ...]:
    """What is known of the checks that these jobs will execute, under the jobs' names."""
    kept = tuple(kept)
    known = []
    for job in jobs:
        checks = {check.name for check in job.checks}
        known += [
            _known(one, job)
            for one in kept
            if one.notebook == job.notebook.name and one.check in checks
        ]
    return tuple(known)


def _known(kept: Kept, job: Job) -> KnownCatch:
    return KnownCatch(
        notebook=job.name,
        check=kept.check,
        sabotage=kept.sabotage,
        platform=kept.platform,
        fault=kept.fault,
        caught=kept.caught,
        trials=kept.trials,
        shown_at=kept.shown_at,
        labkit=kept.labkit,
        is_current=kept.source == job.notebook.digest,
    )
