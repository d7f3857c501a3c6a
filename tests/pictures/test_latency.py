"""Latencies beside the bare ping."""

from __future__ import annotations

import math
import re

import pytest

from labkit.display import Picture
from labkit.pictures.drawing import CLIENT, SERVER
from labkit.pictures.latency import Percentiles, latency_picture
from tests.pictures.svg import texts


def curves(picture: Picture, colour: str) -> int:
    """How many lines of a colour there are, that of the legend included."""
    return len(re.findall(rf'style="fill: none; stroke: {colour}', picture.svg))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([float(one) for one in range(100, 0, -1)], (100, 50, 95, 99)),
        ([float(one) for one in range(1, 201)], (200, 100, 190, 198)),
        ([3.0, 1.0, 2.0], (3, 2, 3, 3)),
        ([7.0], (1, 7, 7, 7)),
        ([1.0, 2.0], (2, 1, 2, 2)),
    ],
)
def test_percentiles_are_by_nearest_rank(
    times: list[float], expected: tuple[int, float, float, float]
) -> None:
    """Each is one of the times: the least that so many reach or stay below."""
    assert Percentiles.of(times) == Percentiles(*expected)


def test_no_times_have_no_percentiles() -> None:
    """Nothing measured is told as none, not as zero."""
    none = Percentiles.of([])

    assert none.count == 0
    assert math.isnan(none.p50_ms)
    assert str(none) == "none"


def test_the_picture_tells_both_with_their_percentiles() -> None:
    """Events and pings are two lines, named with their percentiles in the legend."""
    picture = latency_picture([4.0, 5.0, 6.0], [0.5, 0.25])
    events = "events: p50 5.00, p95 6.00, p99 6.00 ms (n = 3)"
    pings = "bare ping: p50 0.25, p95 0.50, p99 0.50 ms (n = 2)"

    assert {events, pings} <= set(texts(picture))
    assert picture.words == f"Latencies of {events}; {pings}."
    assert curves(picture, CLIENT) == curves(picture, SERVER) == 2


@pytest.mark.parametrize(
    ("events", "pings"), [([], []), ([1.0], []), ([0.0, -3.0], [0.0]), ([5.0] * 9, [5.0])]
)
def test_any_times_can_be_drawn(events: list[float], pings: list[float]) -> None:
    """Nothing, zero, less than zero and all the same give a picture, and no warning."""
    picture = latency_picture(events, pings)

    assert curves(picture, CLIENT) == (2 if events else 0)
    assert curves(picture, SERVER) == (2 if pings else 0)
