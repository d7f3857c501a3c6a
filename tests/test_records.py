"""Records travel as JSON and come back as they were, or are refused."""

import itertools
import json
from typing import Any

import pytest

from labkit.errors import RecordError
from labkit.records import (
    CheckRecord,
    CheckStarted,
    Expectation,
    LabClosed,
    LabOpened,
    Outcome,
    Record,
    ServiceVersion,
    record_from_json,
    record_to_json,
    worst,
)

CHECK = CheckRecord(
    name="nothing_is_left",
    claim="A failing statement leaves nothing behind",
    outcome=Outcome.FAILED,
    reason="partial-write",
    detail="1 of 2 …",
    expectations=(
        Expectation("threads", "0", "1", holds=False, reason="partial-write"),
        Expectation("users", "[]", "[]", holds=True, reason="partial-user"),
    ),
    notes=("<b>note</b>",),
    started_at=1_700_000_000.25,
    seconds=0.5,
)
OPENED = LabOpened(
    area="redis_cache",
    environment="test",
    target="labkit.reference:Platform",
    seed=7,
    lease="a1",
    services=(ServiceVersion("redis", "Valkey", "9.1.0", "embedded", ("prefix alone",)),),
    libraries=(("asyncpg", "0.31"), ("redis", "8.0")),
    opened_at=1.0,
)
RECORDS: tuple[Record, ...] = (
    CheckStarted("name", "claim", 1.5, 30.0),
    CHECK,
    OPENED,
    LabClosed(Outcome.PASSED, 2.0),
)


def as_json(record: Record) -> dict[str, Any]:
    """The record as a notebook file gives it back."""
    value = json.loads(json.dumps(record_to_json(record), allow_nan=False))
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("record", RECORDS)
def test_comes_back_as_it_was(record: Record) -> None:
    """Every kind of record is equal to itself after its way through a file."""
    assert record_from_json(as_json(record)) == record


def test_a_whole_number_serves_for_seconds() -> None:
    """JSON tools may write 30.0 as 30; it is read as the float that it was."""
    started = record_from_json(as_json(RECORDS[0]) | {"deadline_s": 30})
    assert isinstance(started, CheckStarted)
    assert isinstance(started.deadline_s, float)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "cheque"}, "no record is of kind 'cheque', version 1"),
        ({"kind": ["check"]}, "no record is of kind"),
        ({"version": 2}, "version 2"),
        ({"version": True}, "version True"),
        ({"version": 1.0}, "version 1.0"),
        ({"version": None}, "version None"),
        ({"more": 1}, "CheckRecord has missing or unknown members: more"),
        ({"outcome": "fine"}, "CheckRecord.outcome cannot be 'fine'"),
        ({"outcome": ["passed"]}, "CheckRecord.outcome cannot be"),
        ({"name": None}, "CheckRecord.name cannot be None"),
        ({"seconds": True}, "CheckRecord.seconds cannot be True"),
        ({"seconds": "1"}, "CheckRecord.seconds cannot be '1'"),
        ({"seconds": float("nan")}, "CheckRecord.seconds cannot be nan"),
        ({"seconds": float("inf")}, "CheckRecord.seconds cannot be inf"),
        ({"notes": "note"}, "CheckRecord.notes cannot be 'note'"),
        ({"notes": [1]}, "CheckRecord.notes cannot be"),
        ({"expectations": [{"label": "a"}]}, "CheckRecord.expectations: Expectation has missing"),
        ({"expectations": [1]}, "CheckRecord.expectations: Expectation must be read from a JSON"),
    ],
)
def test_refuses_what_only_looks_like_a_record(change: dict[str, Any], told: str) -> None:
    """Another kind, version, member or type is refused, and the error says where."""
    with pytest.raises(RecordError, match=told):
        record_from_json(as_json(CHECK) | change)


def test_refuses_wrong_types_deep_inside() -> None:
    """A number is no truth value, a truth value no number, and a pair has two members."""
    row = as_json(CHECK)
    row["expectations"][0]["holds"] = 1
    with pytest.raises(RecordError, match=r"CheckRecord.expectations: Expectation.holds cannot"):
        record_from_json(row)
    for change in ({"seed": True}, {"seed": 1.0}, {"libraries": [["redis"]]}):
        with pytest.raises(RecordError, match=rf"LabOpened.{next(iter(change))} cannot be"):
            record_from_json(as_json(OPENED) | change)


@pytest.mark.parametrize("name", as_json(CHECK))
def test_refuses_a_missing_member(name: str) -> None:
    """No member has a default that a reader would have to guess."""
    value = as_json(CHECK)
    del value[name]
    with pytest.raises(RecordError, match=name):
        record_from_json(value)


@pytest.mark.parametrize("value", [None, 1, "text", [], {}])
def test_refuses_what_is_no_record_at_all(value: object) -> None:
    """Any JSON value may stand in an output; only an object can be a record."""
    with pytest.raises(RecordError, match="record"):
        record_from_json(value)


def test_a_refusal_is_short() -> None:
    """However large the wrong value is, the error is one sentence."""
    for change in ({"name": [0] * 10**5}, {"x" * 10**5: 1}, {"kind": "y" * 10**5}):
        with pytest.raises(RecordError) as caught:
            record_from_json(as_json(CHECK) | change)
        assert len(str(caught.value)) < 400


def test_the_worst_outcome_wins() -> None:
    """From best to worst: passed, skipped, unknown, failed, broken; deselected does not count."""
    ranked = [
        Outcome.PASSED,
        Outcome.SKIPPED,
        Outcome.UNKNOWN,
        Outcome.FAILED,
        Outcome.BROKEN,
    ]
    for low, high in itertools.combinations_with_replacement(ranked, 2):
        assert worst([low, high]) is worst([high, low]) is high
    assert {outcome for outcome in Outcome if outcome not in ranked} == {Outcome.DESELECTED}
    for outcome in ranked:
        assert worst([Outcome.DESELECTED, outcome]) is outcome
    assert worst([Outcome.DESELECTED]) is Outcome.DESELECTED
    assert worst([]) is Outcome.UNKNOWN


def test_only_passed_and_skipped_are_green() -> None:
    """Deselected is neither counted nor green."""
    green = {outcome for outcome in Outcome if outcome.is_green}
    assert green == {Outcome.PASSED, Outcome.SKIPPED}
