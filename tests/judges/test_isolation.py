"""The isolation table beside the published one."""

from itertools import product

from labkit.judges.anomalies import SCENARIOS
from labkit.judges.isolation import PUBLISHED, IsolationTable, judge_isolation
from labkit.judges.schedule import (
    Anomaly,
    Ended,
    Finding,
    Isolation,
    Scenario,
    ScheduleHistory,
    StepObservation,
)


def ran(scenario: Scenario, isolation: Isolation, *, shown: bool) -> ScheduleHistory:
    """A complete history of a scenario that shows its anomaly, or does not."""
    told = Scenario(scenario.anomaly, scenario.title, scenario.steps, lambda _: shown)
    seen = tuple(
        StepObservation(number, step.session, step.action, step.sql, Ended.DONE)
        for number, step in enumerate(scenario.steps, 1)
    )
    return ScheduleHistory(told, isolation, seen)


PUBLISHED_TABLE = IsolationTable(
    tuple(
        ran(
            scenario,
            isolation,
            shown=PUBLISHED[isolation, scenario.anomaly] is Finding.POSSIBLE,
        )
        for isolation, scenario in product(Isolation, SCENARIOS)
    )
)


def without(isolation: Isolation, anomaly: Anomaly) -> tuple[ScheduleHistory, ...]:
    """The histories of the published table, but for one cell."""
    cell = PUBLISHED_TABLE.of(isolation, anomaly)
    return tuple(history for history in PUBLISHED_TABLE.histories if history not in cell)


def test_the_published_table_has_thirty_cells() -> None:
    """Five, two and none of the ten anomalies are possible at the three levels."""
    possible = [
        sum(PUBLISHED[level, anomaly] is Finding.POSSIBLE for anomaly in Anomaly)
        for level in Isolation
    ]

    assert len(PUBLISHED) == 30
    assert possible == [5, 2, 0]


def test_a_table_that_equals_the_published_one_is_sound() -> None:
    """All thirty cells as published: valid, and said so."""
    verdict = judge_isolation(PUBLISHED_TABLE)

    assert verdict.valid is True
    assert verdict.detail == "30 of 30 cells equal the published table."


def test_an_anomaly_that_should_be_prevented_is_told() -> None:
    """A cell with an anomaly where none is published names level, anomaly and both findings."""
    bad = ran(SCENARIOS[0], Isolation.SERIALIZABLE, shown=True)
    verdict = judge_isolation(IsolationTable((*without(Isolation.SERIALIZABLE, Anomaly.G0), bad)))

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "isolation-level-differs", 1)
    assert verdict.detail == (
        "29 of 30 cells equal the published table; 1 violation; "
        "the first: serializable: G0 is possible, published as prevented"
    )


def test_an_anomaly_that_should_be_possible_is_missed() -> None:
    """A level that is silently stronger than asked for differs as well."""
    good = [
        ran(scenario, Isolation.READ_COMMITTED, shown=False)
        for scenario in SCENARIOS
        if scenario.anomaly is Anomaly.P4
    ]
    verdict = judge_isolation(
        IsolationTable((*without(Isolation.READ_COMMITTED, Anomaly.P4), *good))
    )

    assert verdict.first == "read committed: P4 is prevented, published as possible"


def test_a_cell_is_possible_when_one_of_its_schedules_shows_it() -> None:
    """Of three schedules for read skew, one that shows it is enough."""
    skews = [scenario for scenario in SCENARIOS if scenario.anomaly is Anomaly.G_SINGLE]
    table = IsolationTable(
        tuple(
            ran(scenario, Isolation.REPEATABLE_READ, shown=scenario is skews[-1])
            for scenario in skews
        )
    )

    assert table.finding(Isolation.REPEATABLE_READ, Anomaly.G_SINGLE) is Finding.POSSIBLE


def test_a_cell_is_unknown_when_a_schedule_is_and_none_shows_it() -> None:
    """Two schedules that prevent do not make up for one that could not be told."""
    skews = [scenario for scenario in SCENARIOS if scenario.anomaly is Anomaly.PMP]
    prevented = ran(skews[0], Isolation.SERIALIZABLE, shown=False)
    broken_off = ScheduleHistory(skews[1], Isolation.SERIALIZABLE, (), unfinished="too long")
    table = IsolationTable((prevented, broken_off))

    assert table.finding(Isolation.SERIALIZABLE, Anomaly.PMP) is None


def test_missing_cells_are_unknown() -> None:
    """Twenty-eight cells as published are not thirty, and the missing ones are named."""
    lacking = {*without(Isolation.SERIALIZABLE, Anomaly.G2)}
    lacking &= {*without(Isolation.READ_COMMITTED, Anomaly.P4)}
    verdict = judge_isolation(IsolationTable(tuple(lacking)))

    assert (verdict.valid, verdict.reason) == (None, "isolation-not-measured")
    assert verdict.detail == (
        "28 of 30 cells equal the published table; "
        "not measured: G2 at serializable, P4 at read committed."
    )


def test_an_empty_table_is_unknown() -> None:
    """Nothing measured is no evidence, and no more is nothing to compare it with."""
    assert judge_isolation(IsolationTable(())).valid is None
    verdict = judge_isolation(PUBLISHED_TABLE, published={})

    assert (verdict.valid, verdict.reason) == (None, "isolation-not-measured")
    assert verdict.detail == (
        "0 of 0 cells equal the published table; not measured: the whole table."
    )
