"""Which events a connection is told."""

from __future__ import annotations

from labkit.events import Event, EventType
from labkit.reference.events.cursors import Cursors, Standing
from labkit.reference.events.streams import Published


def event(seq: int, run: str = "r1", *, is_end: bool = False) -> Published:
    """An event of a run, each at a position of its own."""
    kind = EventType.AGENT_COMPLETED if is_end else EventType.AGENT_THINKING
    return Published(Event(type=kind, user="u", ts=0, seq=seq, run=run), position=seq + 100)


def quality(position: int) -> Published:
    """An event of no run."""
    return Published(Event(type=EventType.QUALITY_ALERT, user="u", ts=0), position)


def test_a_run_is_told_from_its_first_event_on() -> None:
    """One event after the other, each once."""
    cursors = Cursors()
    for seq in range(3):
        assert cursors.standing(event(seq)) is Standing.NEXT
        cursors.told(event(seq))
        assert cursors.last("r1") == seq
    assert [cursors.standing(event(seq)) for seq in range(3)] == [Standing.KNOWN] * 3


def test_an_event_that_others_should_precede_is_ahead() -> None:
    """So that what is missing can be fetched."""
    cursors = Cursors()
    cursors.told(event(0))
    assert cursors.standing(event(2)) is Standing.AHEAD
    assert cursors.last("r1") == 0


def test_a_run_in_its_midst_is_followed_when_that_is_asked_for() -> None:
    """Until then its events are not told, since those before them were not."""
    cursors = Cursors()
    assert cursors.standing(event(4)) is Standing.NOT_FOLLOWED
    cursors.follow("r1", 3)
    assert cursors.standing(event(3)) is Standing.KNOWN
    assert cursors.standing(event(4)) is Standing.NEXT


def test_a_run_can_be_followed_before_its_first_event() -> None:
    """As by a client that asks for a run which has only been accepted."""
    cursors = Cursors()
    cursors.follow("r1", None)
    assert cursors.last("r1") is None
    assert cursors.standing(event(0)) is Standing.NEXT
    assert cursors.standing(event(1)) is Standing.AHEAD


def test_a_run_that_was_left_is_not_followed() -> None:
    """Nothing more of it is told."""
    cursors = Cursors()
    cursors.told(event(0))
    cursors.leave("r1")
    cursors.leave("never followed")
    assert cursors.standing(event(1)) is Standing.NOT_FOLLOWED


def test_runs_do_not_concern_each_other() -> None:
    """Each has a place of its own."""
    cursors = Cursors()
    cursors.told(event(0, "r1"))
    assert cursors.standing(event(0, "r2")) is Standing.NEXT
    assert cursors.standing(event(1, "r2")) is Standing.NOT_FOLLOWED


def test_a_duplicate_of_a_run_that_ended_is_known() -> None:
    """Also its first event does not begin it again."""
    cursors = Cursors()
    cursors.told(event(0))
    cursors.told(event(1, is_end=True))
    assert cursors.standing(event(0)) is Standing.KNOWN


def test_what_is_remembered_of_ended_runs_is_bounded() -> None:
    """The oldest are forgotten first."""
    cursors = Cursors()
    for number in range(1_001):
        cursors.told(event(0, f"r{number}", is_end=True))
    assert cursors.last("r0") is None
    assert cursors.last("r1") == 0


def test_an_event_of_no_run_is_told_once() -> None:
    """By its place in the outbox, which stays when it is published again."""
    cursors = Cursors()
    assert cursors.standing(quality(7)) is Standing.NEXT
    cursors.told(quality(7))
    assert cursors.standing(quality(7)) is Standing.KNOWN
    assert cursors.standing(quality(6)) is Standing.NEXT
