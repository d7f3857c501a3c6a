"""What was measured, as plain data that is kept in the repository, and what follows from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from labkit.records import from_json


@dataclass(frozen=True)
class Spread:
    """The middle of some values, and the quarters around it."""

    median: float
    lower: float
    """The lower quartile; with five values or more, an outlier does not move it."""
    upper: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Quartiles as the values stand, the lowest and the highest included; at least one."""
        ordered = sorted(values)
        if len(ordered) == 1:
            return cls(*ordered * 3)
        lower, median, upper = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(median, lower, upper)


@dataclass(frozen=True)
class Series:
    """How long one thing took, each time."""

    name: str
    seconds: tuple[float, ...]
    cells_s: tuple[float, ...] = ()
    """How much of it the notebooks' cells took for themselves, summed, where that is known."""
    waits_s: tuple[float, ...] = ()
    """How long notebooks waited for their leases, each time that one did."""

    def over(self, other: Series) -> Spread:
        """The ratios to another one that was measured in the same rounds."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Spread.of(mine / its for mine, its in pairs)

    def beyond(self, other: Series, *, parts: int) -> Spread:
        """By how many seconds it took longer in the same rounds, for each of so many parts."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Spread.of((mine - its) / parts for mine, its in pairs)


@dataclass(frozen=True)
class Comparison:
    """Several ways to execute the same notebooks, in turns."""

    notebooks: int
    contenders: tuple[Series, ...]

    def contender(self, name: str) -> Series:
        """The one of this name."""
        [found] = [one for one in self.contenders if one.name == name]
        return found


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    resident_bytes: int
    proportional_bytes: int
    """Memory that is shared with other processes counts in part."""
    descriptors: int


@dataclass(frozen=True)
class Growth:
    """Many executions of one notebook by the same processes."""

    executions: int
    seconds: float
    processor_s: float
    """Of all processes that took part."""
    driver: tuple[Footprint, Footprint]
    """Before and after."""
    warm: tuple[Footprint, Footprint]

    @property
    def each_s(self) -> float:
        """The time of one execution."""
        return self.seconds / self.executions


@dataclass(frozen=True)
class Checks:
    """One notebook with many checks."""

    checks: int
    cells_s: float
    """What the cells of its checks took, all together."""

    @property
    def each_s(self) -> float:
        """The time of one check, from its cell's start to its end."""
        return self.cells_s / self.checks


@dataclass(frozen=True)
class Machine:
    """Where and on what something was measured."""

    date: str
    commit: str
    is_changed: bool
    """Whether files differed from the commit."""
    system: str
    cores: int
    python: str
    load: float
    """How many processes wanted to run, on average of the minute before it began."""
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Results:
    """All of it."""

    machine: Machine
    plain: Comparison
    """The fixed notebooks."""
    lab: Comparison
    """The lab's own notebooks."""
    services: tuple[Series, ...]
    growth: tuple[Growth, ...]
    checks: tuple[Checks, ...]

    def write(self, path: Path) -> None:
        """Keep them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Those that `write` kept; raises `RecordError` where it is not them."""
        return from_json(cls, json.loads(path.read_text(encoding="utf-8")))
