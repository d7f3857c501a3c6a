"""The way of a message, stage by stage."""

from __future__ import annotations

from typing import Final

import pytest

from labkit.pictures.drawing import FAULT, SERVER
from labkit.pictures.stages import StageTime, stages_picture
from tests.pictures.svg import bars, texts

STAGES: Final = tuple(
    StageTime(stage, 1_700_000_000_000 + at_ms)
    for stage, at_ms in (("received", 0), ("validated", 10), ("persisted", 20), ("notified", 50))
)


def test_each_stage_is_a_bar_from_the_one_before() -> None:
    """Bars follow one another without a gap, as long as the stages took."""
    spans = bars(stages_picture(STAGES), SERVER)
    lengths = [right - left for left, right in spans]

    assert [left for left, _ in spans[1:]] == [right for _, right in spans[:-1]]
    assert lengths == pytest.approx([0, lengths[1], lengths[1], 3 * lengths[1]], abs=0.01)


def test_stages_and_their_times_can_be_read() -> None:
    """Names beside the rows, and how long each took beside its bar."""
    shown = texts(stages_picture(STAGES))

    assert [text for text in shown if text.isalpha() and text != "ms"] == [
        one.stage for one in STAGES
    ]
    assert [text for text in shown if text.endswith(" ms")] == [
        "0 ms",
        "+10.0 ms",
        "+10.0 ms",
        "+30.0 ms",
    ]
    assert stages_picture(STAGES).words == (
        "The stages of a message: received → validated → persisted → notified, in 50.0 ms."
    )


def test_a_stage_before_its_time_is_red() -> None:
    """What was reached before the stage above it goes back, in another colour."""
    picture = stages_picture((STAGES[0], STAGES[2], STAGES[1], STAGES[3]))
    [(right, left)] = bars(picture, FAULT)

    assert left < right
    assert "-10.0 ms" in texts(picture)
    assert bars(stages_picture(STAGES), FAULT) == []


def test_no_stage_says_so() -> None:
    """An empty way is drawn empty."""
    assert stages_picture(()).words == "No stage was reached."
