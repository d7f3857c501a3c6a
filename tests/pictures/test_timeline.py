"""A run's events drawn as they happened and as they arrived."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import pytest

from labkit.display import Picture
from labkit.events import Event, EventType
from labkit.pictures.drawing import CLIENT, FAULT, SERVER, SPAN
from labkit.pictures.timeline import Arrival, Cut, timeline
from tests.pictures.svg import bars, marks, texts

KINDS: Final = (
    EventType.AGENT_STARTED,
    EventType.AGENT_THINKING,
    EventType.TOOL_EXECUTING,
    EventType.TOOL_FAILED,
    EventType.AGENT_FAILED,
)
RUN: Final = tuple(
    Arrival(
        Event(kind, "alice", 1000 + 10 * seq, seq=seq, call="call" if "tool" in kind else None),
        1000 + 10 * seq + 2.5,
    )
    for seq, kind in enumerate(KINDS)
)


def happened(picture: Picture) -> list[tuple[float, float]]:
    """The marks of what happened; the last one is the legend's."""
    return marks(picture, f"fill: {SERVER}")[:-1]


def arrived(picture: Picture) -> list[tuple[float, float]]:
    """The marks of what arrived; the last one is the legend's."""
    return marks(picture, f"fill: #ffffff; stroke: {CLIENT}")[:-1]


def test_each_event_is_drawn_when_it_happened_and_when_it_arrived() -> None:
    """Two marks on a row of its own, a quarter of the way to the next event apart."""
    picture = timeline(RUN)
    server, client = happened(picture), arrived(picture)
    step = server[1][0] - server[0][0]

    assert len(server) == len(client) == 5
    assert [y for _, y in server] == [y for _, y in client] == sorted(y for _, y in server)
    assert [x for x, _ in server] == pytest.approx([server[0][0] + step * n for n in range(5)])
    assert [x for x, _ in client] == pytest.approx([x + step / 4 for x, _ in server])


def test_rows_are_named_and_unhappy_ones_stand_out() -> None:
    """Kind and seq stand beside each row, failures in another colour."""
    picture = timeline(RUN)

    assert [text.split() for text in texts(picture) if text[-1] in "01234" and "_" in text] == [
        [kind.value, str(seq)] for seq, kind in enumerate(KINDS)
    ]
    assert picture.svg.count(FAULT) == 2
    assert timeline(RUN[:3]).svg.count(FAULT) == 0


def test_a_tool_is_a_bar_from_its_start_to_its_end() -> None:
    """The bar begins and ends with the events; a tool that never ended has none."""
    picture = timeline(RUN)
    server = happened(picture)

    assert bars(picture, SPAN) == [pytest.approx((server[2][0], server[3][0]), abs=0.01)]
    assert bars(timeline(RUN[:3]), SPAN) == []


def test_what_never_arrived_has_an_empty_row() -> None:
    """A gap is seen in the rows and told in the words."""
    picture = timeline((*RUN[:2], *RUN[3:]))

    assert len(happened(picture)) == 4
    assert "never arrived  2" in texts(picture)
    assert picture.words == (
        "4 events of a run, each with the time at which it happened and arrived; the slowest was "
        "under way for 2.5 ms; 1 never arrived."
    )


def test_what_arrived_again_has_another_mark() -> None:
    """A repetition lies on the same row, later."""
    picture = timeline((*RUN, replace(RUN[1], at_ms=1060)))
    row = happened(picture)[1][1]

    assert len([y for _, y in arrived(picture) if y == row]) == 2
    assert picture.words.endswith("under way for 50.0 ms; 1 arrived again.")


def test_a_resumed_listener_sees_rows_from_its_cursor_on() -> None:
    """What came before the first seq is not missing."""
    assert "never arrived" not in timeline(RUN[3:]).words


def test_nothing_to_draw_says_so() -> None:
    """No arrival, or none with a place in a run."""
    quality = Arrival(Event(EventType.QUALITY_ALERT, "alice", 1), 2)

    assert timeline(()).words == timeline([quality]).words == "No event of a run arrived."


def test_a_cut_is_a_named_line_at_its_moment() -> None:
    """It crosses all rows where it was made, is in the legend, and its time is in the words."""
    picture = timeline(RUN[:3], Cut("silence", 1015))
    server = happened(picture)
    across = re.findall(
        rf'M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]*" clip-path="[^"]*" style="[^"]*{FAULT}', picture.svg
    )

    halfway = (server[1][0] + server[2][0]) / 2
    assert [tuple(map(float, ends)) for ends in across] == [pytest.approx((halfway, halfway))]
    assert "silence" in texts(picture)
    assert "; the silence came 15.0 ms after the first event; " in picture.words
    assert timeline((), Cut("silence", 1015)).words == "No event of a run arrived."
