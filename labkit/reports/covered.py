"""How much of the target's package ran, for a reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from labkit.journal import FileCoverage


@dataclass(frozen=True)
class Covered:
    """A module, or all of them."""

    module: str
    statements: int
    missed: int

    @property
    def rate(self) -> float:
        """The share of statements that ran, from 0 to 1; where there are none, all did."""
        return 1 - self.missed / self.statements if self.statements else 1.0

    @property
    def share(self) -> str:
        """The same in percent, never rounded to all of it."""
        percent = round(100 * self.rate, 1)
        return f"{min(percent, 99.9) if self.missed else percent:.1f} %"


@dataclass(frozen=True)
class CoverageTable:
    """All modules, the least covered first."""

    all: Covered
    modules: tuple[Covered, ...]


def united(parts: Iterable[Sequence[FileCoverage]]) -> tuple[FileCoverage, ...]:
    """What ran in any part of a run; of a module that was changed between them, the last tells."""
    by_module: dict[str, FileCoverage] = {}
    for file in chain.from_iterable(parts):
        by_module[file.module] = _joined(by_module.get(file.module, file), file)
    return tuple(sorted(by_module.values(), key=lambda file: file.module))


def _joined(former: FileCoverage, now: FileCoverage) -> FileCoverage:
    if former.statements != now.statements:
        return now
    never = set(former.missed_lines).intersection(now.missed_lines)
    return replace(now, missed_lines=tuple(sorted(never)))


def table_of(files: Sequence[FileCoverage]) -> CoverageTable:
    """What was measured, added up and in order."""
    modules = [Covered(file.module, file.statements, file.missed) for file in files]
    statements = sum(one.statements for one in modules)
    whole = Covered("all", statements, sum(one.missed for one in modules))
    return CoverageTable(whole, tuple(sorted(modules, key=lambda one: (one.rate, one.module))))
