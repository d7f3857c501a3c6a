"""The journal of a run: what no notebook can tell about itself.

One JSON object a line, appended and flushed as things happen. The progress display follows it while
the run goes on; the reports read it afterwards, beside the executed notebooks. Every entry has the
time at which it was written, in seconds since the epoch.
"""

from __future__ import annotations

import enum
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TextIO

from labkit.errors import RecordError
from labkit.records import Outcome, ServiceVersion, from_json
from labkit.sabotage import KnownCatch, Sabotage, Trial


@dataclass(frozen=True)
class PlannedCheck:
    """A check that a notebook declares, read from its source before anything ran."""

    name: str
    claim: str
    is_selected: bool = True
    """Whether it is to be executed."""


@dataclass(frozen=True)
class PlannedNotebook:
    """A notebook of the run; its executed form is `<name>.ipynb` in the run's folder."""

    name: str
    """Unique in the run; letters, digits, `_`, `-` and `.` only."""
    source: str
    """Where it was read from, as the user would write it."""
    title: str
    checks: tuple[PlannedCheck, ...]
    repeats: str = ""
    """The name that all executions share, where the run executes it several times; else empty."""
    digest: str = ""
    """Tells code, parameters and selected checks apart from all others."""


@dataclass(frozen=True)
class RunStarted:
    """The first entry: what the run set out to do."""

    at: float
    run: str
    labkit: str
    environment: str
    notebooks: tuple[PlannedNotebook, ...]
    options: str = ""
    """What was asked for beside notebooks and parameters, such as `--fail-fast -k rollback`."""


@dataclass(frozen=True)
class RunResumed:
    """The run goes on in its folder after it had been ended early.

    What was told before of these notebooks, and of the run's end, no longer counts.
    """

    at: float
    notebooks: tuple[str, ...]
    """Those that had no result, and are executed."""


@dataclass(frozen=True)
class CatchesKnown:
    """What the run's checks were seen to catch before it began."""

    at: float
    catches: tuple[KnownCatch, ...]


@dataclass(frozen=True)
class ProofStarted:
    """The run is a proof: its notebooks are trials, of which most shall turn red."""

    at: float
    sabotages: tuple[Sabotage, ...]
    """All that the platform brings, also those that are not tried now."""
    trials: tuple[Trial, ...]
    is_whole: bool
    """Whether all notebooks of the project and all sabotages take part."""


@dataclass(frozen=True)
class ServicesReady:
    """The services answer."""

    at: float
    services: tuple[ServiceVersion, ...]


@dataclass(frozen=True)
class NotebookStarted:
    """A kernel for the notebook is being started."""

    at: float
    notebook: str


class Phase(enum.StrEnum):
    """What a notebook's time is spent on, in the order in which it begins."""

    LEASE = "lease"
    """Waiting for a place with a lease of its own."""
    KERNEL = "kernel"
    """From asking for a kernel until it is ready."""
    CELLS = "cells"
    """From sending a cell to its last output, all cells together."""
    SAVING = "saving"
    END = "kernel's end"


@dataclass(frozen=True)
class Spent:
    """What a notebook's execution spent on one phase."""

    phase: Phase
    seconds: float


@dataclass(frozen=True)
class CheckBegan:
    """A check's start record came in."""

    at: float
    notebook: str
    check: str


@dataclass(frozen=True)
class CheckEnded:
    """A check's record came in."""

    at: float
    notebook: str
    check: str
    outcome: Outcome
    reason: str
    seconds: float


@dataclass(frozen=True)
class CheckKilled:
    """A check resisted its own deadline, and its kernel was killed for it."""

    at: float
    notebook: str
    check: str
    deadline_s: float


class Ending(enum.StrEnum):
    """How the execution of a notebook ended, as its driver saw it."""

    REACHED_THE_END = "reached-the-end"
    """Every cell was executed, the last one included; it may have raised the verdict."""
    CELL_ERROR = "cell-error"
    """A cell raised outside of any check; later cells never ran."""
    IMPORT_ERROR = "import-error"
    """The first code cell that ran could not import what it needs."""
    STOPPED_EARLY = "stopped-early"
    """Cells were left out without an error, as after `sys.exit(0)`."""
    KERNEL_DIED = "kernel-died"
    CHECK_KILLED = "check-killed"
    """The driver killed the kernel for a check that resisted its deadline."""
    DEADLINE = "deadline"
    """The notebook's own deadline passed."""
    CANCELLED = "cancelled"
    """The run was interrupted while this notebook ran."""
    NEVER_STARTED = "never-started"
    """The run ended before this notebook's turn."""
    DESELECTED = "deselected"
    """It was not begun, since the run was not asked for it, or not after another one was red."""
    NO_KERNEL = "no-kernel"
    """No kernel could be started."""
    NO_LEASE = "no-lease"
    """No lease could be made."""

    @property
    def is_result(self) -> bool:
        """Whether it says something of the notebook itself: it was executed, and not cancelled."""
        return self not in {
            Ending.CANCELLED,
            Ending.NEVER_STARTED,
            Ending.DESELECTED,
            Ending.NO_KERNEL,
            Ending.NO_LEASE,
        }


@dataclass(frozen=True)
class NotebookEnded:
    """The notebook is done with, however it went."""

    at: float
    notebook: str
    ending: Ending
    detail: str
    """One sentence; empty when the end was reached."""
    cell: int | None
    """The number of the cell that was running when it ended early, counted from 0."""
    seconds: float
    spent: tuple[Spent, ...] = ()
    """Where these went, as far as it came; phases that it did not come to are left out."""


@dataclass(frozen=True)
class LeaseNote:
    """Something about leases that a reader must know, such as leftovers that were removed."""

    at: float
    text: str


@dataclass(frozen=True)
class FileCoverage:
    """How much of a module ran."""

    module: str
    """The name by which it is imported."""
    statements: int
    missed_lines: tuple[int, ...]
    """The lines of those statements that never ran."""

    @property
    def missed(self) -> int:
        """How many statements never ran."""
        return len(self.missed_lines)


@dataclass(frozen=True)
class CoverageMeasured:
    """What ran of the targets' packages, in all processes of the run that ended by themselves."""

    at: float
    files: tuple[FileCoverage, ...]
    """Also of modules that nobody imported."""


@dataclass(frozen=True)
class RunCancelled:
    """The run was asked to stop."""

    at: float
    signal: str


@dataclass(frozen=True)
class InfrastructureFailed:
    """The run could not have its services; nothing more was started."""

    at: float
    detail: str


@dataclass(frozen=True)
class SecretFound:
    """A file of the run held a secret and was replaced by a note."""

    at: float
    file: str
    where: str
    """The place inside the file and the form of the secret, never its value."""


@dataclass(frozen=True)
class RunEnded:
    """The last entry of a run that came to its end."""

    at: float


Entry = (
    RunStarted
    | RunResumed
    | CatchesKnown
    | ProofStarted
    | ServicesReady
    | NotebookStarted
    | CheckBegan
    | CheckEnded
    | CheckKilled
    | NotebookEnded
    | LeaseNote
    | CoverageMeasured
    | RunCancelled
    | InfrastructureFailed
    | SecretFound
    | RunEnded
)

_KINDS: Final[Mapping[str, type[Entry]]] = types.MappingProxyType(
    {
        "run-started": RunStarted,
        "run-resumed": RunResumed,
        "catches-known": CatchesKnown,
        "proof-started": ProofStarted,
        "services-ready": ServicesReady,
        "notebook-started": NotebookStarted,
        "check-began": CheckBegan,
        "check-ended": CheckEnded,
        "check-killed": CheckKilled,
        "notebook-ended": NotebookEnded,
        "lease-note": LeaseNote,
        "coverage-measured": CoverageMeasured,
        "run-cancelled": RunCancelled,
        "infrastructure-failed": InfrastructureFailed,
        "secret-found": SecretFound,
        "run-ended": RunEnded,
    }
)


def entry_to_line(entry: Entry) -> str:
    """The entry as one line of JSON in ASCII, without its line end."""
    kind = next(name for name, made in _KINDS.items() if made is type(entry))
    return json.dumps({"kind": kind, **asdict(entry)}, allow_nan=False)


def entry_from_line(line: str) -> Entry:
    """The entry that a line stands for; raises `RecordError` when it stands for none."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RecordError(f"a journal's line is not JSON: {line!r:.80}") from error
    kind = value.pop("kind", None) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise RecordError(f"no journal entry is of kind {kind!r:.80}")
    return from_json(_KINDS[kind], value)


def read_journal(path: Path) -> Iterator[Entry]:
    """All entries of a journal, in order.

    A last line without its end was cut off while it was written and is left out; any other line
    that cannot be read raises `RecordError` with the line's number.
    """
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield entry_from_line(line.decode())
        except (RecordError, UnicodeDecodeError) as error:
            raise RecordError(f"{path.name}, line {number}: {error}") from error


class Journal:
    """Appends entries to an open text file, each flushed as it is written."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, entry: Entry) -> None:
        """Append one entry."""
        self._file.write(entry_to_line(entry) + "\n")
        self._file.flush()
