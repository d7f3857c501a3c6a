"""Which anomalies a platform's isolation levels let through, beside what PostgreSQL promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from labkit.judges.schedule import Anomaly, Finding, Isolation, ScheduleHistory
from labkit.judges.verdict import Verdict

Published: TypeAlias = Mapping[tuple[Isolation, Anomaly], Finding]

_LET_THROUGH: Final = MappingProxyType(
    {
        Isolation.READ_COMMITTED: frozenset(
            {Anomaly.PMP, Anomaly.P4, Anomaly.G_SINGLE, Anomaly.G2_ITEM, Anomaly.G2}
        ),
        Isolation.REPEATABLE_READ: frozenset({Anomaly.G2_ITEM, Anomaly.G2}),
        Isolation.SERIALIZABLE: frozenset[Anomaly](),
    }
)

PUBLISHED: Final[Published] = MappingProxyType(
    {
        (isolation, anomaly): Finding.POSSIBLE if anomaly in let_through else Finding.PREVENTED
        for isolation, let_through in _LET_THROUGH.items()
        for anomaly in Anomaly
    }
)
"""The published table for PostgreSQL: 30 cells."""

SOURCE: Final = "Hermitage (Martin Kleppmann, 2014), measured again on PostgreSQL 15"
"""Where the published table comes from."""


@dataclass(frozen=True)
class IsolationTable:
    """All schedules that were run, each at each level."""

    histories: tuple[ScheduleHistory, ...]

    def of(self, isolation: Isolation, anomaly: Anomaly) -> tuple[ScheduleHistory, ...]:
        """The histories behind one cell."""
        return tuple(
            history
            for history in self.histories
            if history.isolation is isolation and history.scenario.anomaly is anomaly
        )

    def finding(self, isolation: Isolation, anomaly: Anomaly) -> Finding | None:
        """One cell: possible where any schedule shows the anomaly, None where it is not known."""
        findings = {history.finding for history in self.of(isolation, anomaly)}
        if Finding.POSSIBLE in findings:
            return Finding.POSSIBLE
        return Finding.PREVENTED if findings == {Finding.PREVENTED} else None


def judge_isolation(table: IsolationTable, published: Published = PUBLISHED) -> Verdict:
    """Whether every cell equals the published one.

    Reasons: `isolation-level-differs` with the cells that do, in the order of levels;
    `isolation-not-measured` (unknown) where none differs but some cell could not be told.
    """
    cells = {cell: table.finding(*cell) for cell in published}
    known = {cell: finding for cell, finding in cells.items() if finding is not None}
    differing = [
        f"{isolation}: {anomaly} is {finding}, published as {published[isolation, anomaly]}"
        for (isolation, anomaly), finding in known.items()
        if finding is not published[isolation, anomaly]
    ]
    detail = f"{len(known) - len(differing)} of {len(published)} cells equal the published table"
    if differing:
        return Verdict.violated("isolation-level-differs", differing, judged=detail)
    missing = [f"{anomaly} at {isolation}" for isolation, anomaly in cells.keys() - known.keys()]
    if missing or not cells:
        what = ", ".join(sorted(missing)) or "the whole table"
        return Verdict.unknown("isolation-not-measured", f"{detail}; not measured: {what}.")
    return Verdict.sound(f"{detail}.")
