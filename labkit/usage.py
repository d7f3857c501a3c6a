"""What the processes that this one has started need: the memory at its peak, and processor time.

Linux tells; where a system does not, nothing is known, and nothing is made up.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labkit.tables import Table

_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """One process, as it is now."""

    pid: int
    command: str
    """The module or program that it runs, without arguments."""
    peak_bytes: int
    """The most memory that it has had at once."""
    processor_s: float
    """How long it has kept a core busy, in seconds."""


def usage_of_children() -> tuple[Usage, ...]:
    """The living children of this process, oldest first; empty where the system does not tell."""
    folders = sorted(_PROC.glob("[0-9]*"), key=lambda folder: int(folder.name))
    return tuple(usage for folder in folders if (usage := _usage_of_child(folder)))


def usage_table(usages: Sequence[Usage], caption: str) -> Table:
    """A row for each process."""
    rows = tuple(
        (
            usage.command,
            str(usage.pid),
            f"{usage.peak_bytes / 1e6:.0f} MB",
            f"{usage.processor_s:.1f} s",
        )
        for usage in usages
    )
    notes = () if rows else ("this system does not tell what processes use",)
    return Table(caption, ("process", "pid", "peak memory", "processor time"), rows, notes)


def _usage_of_child(folder: Path) -> Usage | None:
    """What the process of this folder uses; None where it is no living child of this one."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        # The name comes first, in parentheses, and may hold anything.
        _, parent, *fields = (folder / "stat").read_text().rpartition(")")[2].split()
        if int(parent) == os.getpid():
            peak = re.search(r"^VmHWM:\s*(\d+) kB$", (folder / "status").read_text(), re.MULTILINE)
            if peak:  # a dead one has none
                return Usage(
                    pid=int(folder.name),
                    command=_command((folder / "cmdline").read_text()),
                    peak_bytes=1024 * int(peak[1]),
                    processor_s=sum(map(int, fields[9:11])) / os.sysconf("SC_CLK_TCK"),
                )
    return None


def _command(line: str) -> str:
    program, *arguments = line.rstrip("\0").split("\0")
    if arguments[:1] == ["-m"]:
        return " ".join(arguments[:2])
    return Path(program).name
