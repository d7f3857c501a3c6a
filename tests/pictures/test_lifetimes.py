"""What keys have to live, over time."""

from __future__ import annotations

from typing import Final

from labkit.pictures.drawing import FAULT
from labkit.pictures.lifetimes import Lifetime, Moment, Sample, lifetime_picture
from tests.pictures.svg import marks, texts

GONE: Final = f"fill: {FAULT}"


def samples(*left_ms: float | None) -> list[Sample]:
    """One every 10 ms."""
    return [Sample(1_000.0 + 10 * number, left) for number, left in enumerate(left_ms)]


SHORT: Final = Lifetime("short", samples(None, 20, 10, None, None), [Moment("set", 1_005, 25)])
LONG: Final = Lifetime(
    "long", samples(90, 80, 120, 110, 100), [Moment("set", 995, 95), Moment("extend", 1_015, 125)]
)
NEVER: Final = Lifetime("never", samples(None, None))


def test_a_key_is_gone_where_it_was_there_before() -> None:
    """Not having been there yet is not being gone, and the first time counts."""
    assert (SHORT.gone_at_ms, LONG.gone_at_ms, NEVER.gone_at_ms) == (1_030, None, None)


def test_each_key_has_a_line_with_its_moments() -> None:
    """Names, moments and ends stand in the legend, and each end is crossed."""
    picture = lifetime_picture([SHORT, LONG, NEVER])
    assert {"short", "long", "never", "set", "extend", "gone"} <= set(texts(picture))
    assert len(marks(picture, GONE)) == 2
    assert picture.words == (
        "What 3 keys had to live: short was gone 25 ms after its last mark; "
        "long was there to the end; never was never there."
    )


def test_a_key_that_had_gone_before_it_was_looked_at_is_told_as_that() -> None:
    """It was set, and its time was over when the first look was taken."""
    early = Lifetime("early", samples(None, None), [Moment("set", 900, 50)])
    assert lifetime_picture([early]).words.endswith("early had gone when it was first looked at.")


def test_a_moment_stands_at_the_time_that_it_gave() -> None:
    """The extension is higher than what was set, and later."""
    picture = lifetime_picture([LONG])
    *_, first, extension, _legend = marks(picture, "fill: #0072b2")
    assert extension[1] < first[1]
    assert extension[0] > first[0]


def test_what_did_not_happen_is_not_in_the_legend() -> None:
    """No key was gone, and none was extended."""
    picture = lifetime_picture([Lifetime("kept", samples(50, 40))])
    assert {"gone", "extend", "set"}.isdisjoint(texts(picture))
    assert marks(picture, GONE) == []


def test_no_key_gives_an_empty_picture_that_says_so() -> None:
    """There is nothing to draw, and no error."""
    assert lifetime_picture([]).words == "No key was looked at."
    assert lifetime_picture([Lifetime("new", ())]).words.endswith("new was never there.")
