"""Fourteen schedules for the ten anomalies that tell isolation levels apart.

The anomalies, and the idea of showing each by one small schedule, are those of Hermitage (Martin
Kleppmann), after Adya's theory. All schedules begin with the rows (1, 10) and (2, 20). The last
digit of every value names the session that wrote it, 0 for the beginning: so what a session saw
tells whose writes it saw.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from labkit.judges.schedule import Action, Anomaly, Row, Scenario, ScheduleHistory, Step

BEGINNING: Final[tuple[Row, ...]] = ((1, 10), (2, 20))
"""The rows with which every schedule begins."""


def _begin(session: int) -> Step:
    return Step(session, Action.BEGIN)


def _commit(session: int) -> Step:
    return Step(session, Action.COMMIT)


def _abort(session: int) -> Step:
    return Step(session, Action.ABORT)


def _read(session: int, sql: str) -> Step:
    return Step(session, Action.READ, sql)


def _write(session: int, sql: str) -> Step:
    return Step(session, Action.WRITE, sql)


def _writer(row: Row) -> int:
    return row[1] % 10


def _seen(history: ScheduleHistory, reader: int) -> list[int]:
    """Whose writes a session saw, in the order in which it read them."""
    return [_writer(row) for rows in history.reads(reader) for row in rows]


def _wrote(history: ScheduleHistory, session: int) -> bool:
    return any(history.touched(session))


def _mixed_writes(history: ScheduleHistory) -> bool:
    """Both rows were written by both sessions, and each kept another one's value."""
    return len({_writer(row) for row in history.final}) > 1


def _saw_aborted(history: ScheduleHistory) -> bool:
    """Session 2 read what session 1 took back."""
    return 1 in _seen(history, 2)


def _saw_intermediate(history: ScheduleHistory) -> bool:
    """Session 2 read a value that session 1 itself replaced before it committed."""
    return any((1, 101) in rows for rows in history.reads(2))


def _saw_each_other(history: ScheduleHistory) -> bool:
    """Each of two sessions read what the other one wrote."""
    return 2 in _seen(history, 1) and 1 in _seen(history, 2)


def _saw_vanish(history: ScheduleHistory) -> bool:
    """Session 3 read a later session's write, and then an earlier one's, over which it went."""
    return any(later < earlier for earlier, later in pairwise(_seen(history, 3)))


def _saw_appear(history: ScheduleHistory) -> bool:
    """Session 1 read without the writes of session 2, and later with them."""
    first, *later = history.reads(1) or ((),)
    return 2 not in map(_writer, first) and any(2 in map(_writer, rows) for rows in later)


def _match_survives_delete(history: ScheduleHistory) -> bool:
    """Session 2 deleted by a condition and then still found rows for which it is true."""
    return any(history.reads(2)[1:])


def _wrote_unseen(history: ScheduleHistory) -> bool:
    """Sessions 1 and 2 both wrote, and neither had read what the other one wrote."""
    both = _wrote(history, 1) and _wrote(history, 2)
    return both and 2 not in _seen(history, 1) and 1 not in _seen(history, 2)


def _delete_missed_what_was_read(history: ScheduleHistory) -> bool:
    """Session 1 read the beginning, and its delete looked at a later state and found nothing."""
    return 0 in _seen(history, 1) and history.touched(1) == (0,)


def _read_between(history: ScheduleHistory) -> bool:
    """By what was read, session 1 came before 2, 2 before 3, and 3 before 1."""
    saw_second, third = 2 in _seen(history, 1), _seen(history, 3)
    return _wrote(history, 1) and not saw_second and 2 in third and 1 not in third


G0: Final = Scenario(
    Anomaly.G0,
    "dirty write",
    (
        _begin(1),
        _begin(2),
        _write(1, "update {table} set value = 11 where id = 1"),
        _write(2, "update {table} set value = 12 where id = 1"),
        _write(1, "update {table} set value = 21 where id = 2"),
        _commit(1),
        _write(2, "update {table} set value = 22 where id = 2"),
        _commit(2),
    ),
    _mixed_writes,
)

G1A: Final = Scenario(
    Anomaly.G1A,
    "aborted read",
    (
        _begin(1),
        _begin(2),
        _write(1, "update {table} set value = 11 where id = 1"),
        _read(2, "select * from {table}"),
        _abort(1),
        _read(2, "select * from {table}"),
        _commit(2),
    ),
    _saw_aborted,
)

G1B: Final = Scenario(
    Anomaly.G1B,
    "intermediate read",
    (
        _begin(1),
        _begin(2),
        _write(1, "update {table} set value = 101 where id = 1"),
        _read(2, "select * from {table}"),
        _write(1, "update {table} set value = 11 where id = 1"),
        _commit(1),
        _read(2, "select * from {table}"),
        _commit(2),
    ),
    _saw_intermediate,
)

G1C: Final = Scenario(
    Anomaly.G1C,
    "circular information flow",
    (
        _begin(1),
        _begin(2),
        _write(1, "update {table} set value = 11 where id = 1"),
        _write(2, "update {table} set value = 22 where id = 2"),
        _read(1, "select * from {table} where id = 2"),
        _read(2, "select * from {table} where id = 1"),
        _commit(1),
        _commit(2),
    ),
    _saw_each_other,
)

OTV: Final = Scenario(
    Anomaly.OTV,
    "observed transaction vanishes",
    (
        _begin(1),
        _begin(2),
        _begin(3),
        _write(1, "update {table} set value = 11 where id = 1"),
        _write(1, "update {table} set value = 21 where id = 2"),
        _write(2, "update {table} set value = 12 where id = 1"),
        _commit(1),
        _read(3, "select * from {table} where id = 1"),
        _write(2, "update {table} set value = 22 where id = 2"),
        _read(3, "select * from {table} where id = 2"),
        _commit(2),
        _read(3, "select * from {table} where id = 2"),
        _read(3, "select * from {table} where id = 1"),
        _commit(3),
    ),
    _saw_vanish,
)

PMP_READ: Final = Scenario(
    Anomaly.PMP,
    "predicate with many preceders, reading",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where value % 3 = 0"),
        _write(2, "insert into {table} values (3, 42)"),
        _commit(2),
        _read(1, "select * from {table} where value % 3 = 0"),
        _commit(1),
    ),
    _saw_appear,
)

PMP_WRITE: Final = Scenario(
    Anomaly.PMP,
    "predicate with many preceders, deleting",
    (
        _begin(1),
        _begin(2),
        _write(1, "update {table} set value = value + 10"),
        _read(2, "select * from {table} where value = 20"),
        _write(2, "delete from {table} where value = 20"),
        _commit(1),
        _read(2, "select * from {table} where value = 20"),
        _commit(2),
    ),
    _match_survives_delete,
)

P4: Final = Scenario(
    Anomaly.P4,
    "lost update",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where id = 1"),
        _read(2, "select * from {table} where id = 1"),
        _write(1, "update {table} set value = 11 where id = 1"),
        _write(2, "update {table} set value = 12 where id = 1"),
        _commit(1),
        _commit(2),
    ),
    _wrote_unseen,
)

G_SINGLE: Final = Scenario(
    Anomaly.G_SINGLE,
    "read skew",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where id = 1"),
        _read(2, "select * from {table}"),
        _write(2, "update {table} set value = 12 where id = 1"),
        _write(2, "update {table} set value = 22 where id = 2"),
        _commit(2),
        _read(1, "select * from {table} where id = 2"),
        _commit(1),
    ),
    _saw_appear,
)

G_SINGLE_PREDICATE: Final = Scenario(
    Anomaly.G_SINGLE,
    "read skew, by predicate",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where value % 5 = 0"),
        _write(2, "update {table} set value = 12 where value = 10"),
        _commit(2),
        _read(1, "select * from {table} where value % 3 = 0"),
        _commit(1),
    ),
    _saw_appear,
)

G_SINGLE_WRITE: Final = Scenario(
    Anomaly.G_SINGLE,
    "read skew, deleting by predicate",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where id = 1"),
        _read(2, "select * from {table}"),
        _write(2, "update {table} set value = 12 where id = 1"),
        _write(2, "update {table} set value = 22 where id = 2"),
        _commit(2),
        _write(1, "delete from {table} where value = 20"),
        _commit(1),
    ),
    _delete_missed_what_was_read,
)

G2_ITEM: Final = Scenario(
    Anomaly.G2_ITEM,
    "write skew",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where id in (1, 2)"),
        _read(2, "select * from {table} where id in (1, 2)"),
        _write(1, "update {table} set value = 11 where id = 1"),
        _write(2, "update {table} set value = 22 where id = 2"),
        _commit(1),
        _commit(2),
    ),
    _wrote_unseen,
)

G2_INSERT: Final = Scenario(
    Anomaly.G2,
    "anti-dependency cycle, by predicate",
    (
        _begin(1),
        _begin(2),
        _read(1, "select * from {table} where value % 3 = 0"),
        _read(2, "select * from {table} where value % 3 = 0"),
        _write(1, "insert into {table} values (3, 21)"),
        _write(2, "insert into {table} values (4, 42)"),
        _commit(1),
        _commit(2),
    ),
    _wrote_unseen,
)

G2_READER: Final = Scenario(
    Anomaly.G2,
    "anti-dependency cycle, through a reader",
    (
        _begin(1),
        _read(1, "select * from {table}"),
        _begin(2),
        _write(2, "update {table} set value = 22 where id = 2"),
        _commit(2),
        _begin(3),
        _read(3, "select * from {table}"),
        _commit(3),
        _write(1, "update {table} set value = 11 where id = 1"),
        _commit(1),
    ),
    _read_between,
)

SCENARIOS: Final = (
    G0,
    G1A,
    G1B,
    G1C,
    OTV,
    PMP_READ,
    PMP_WRITE,
    P4,
    G_SINGLE,
    G_SINGLE_PREDICATE,
    G_SINGLE_WRITE,
    G2_ITEM,
    G2_INSERT,
    G2_READER,
)
"""All schedules; an anomaly with several is possible where any of them shows it."""
