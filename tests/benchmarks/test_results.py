"""What follows from the times: ratios within a round, and how far they lay apart."""

from pathlib import Path

import pytest

from benchmarks.results import Results, Series, Spread
from labkit.errors import RecordError
from tests.benchmarks.samples import GROWTH, RESULTS

OURS = Series("ours", (1.0, 2.0, 6.0))
THEIRS = Series("theirs", (2.0, 8.0, 6.0))


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        ([3.0], Spread(3.0, 3.0, 3.0)),
        ([2.0, 1.0], Spread(1.5, 1.25, 1.75)),
        ([5.0, 1.0, 4.0, 2.0, 3.0], Spread(3.0, 2.0, 4.0)),
        ([5.0, 1.0, 1000.0, 2.0, 3.0], Spread(3.0, 2.0, 5.0)),
    ],
)
def test_a_spread_is_the_middle_and_the_quarters(values: list[float], spread: Spread) -> None:
    """In whatever order they come; one that is far off moves none of the three to itself."""
    assert Spread.of(values) == spread


def test_a_ratio_is_one_of_times_in_the_same_round() -> None:
    """The median of the ratios, 0.5, 0.25 and 1, which is not the ratio of the medians."""
    assert OURS.over(THEIRS) == Spread(0.5, 0.375, 0.75)


def test_a_difference_is_one_of_times_in_the_same_round() -> None:
    """Each by its round, and divided among the parts."""
    assert THEIRS.beyond(OURS, parts=2) == Spread(0.5, 0.25, 1.75)


def test_series_of_other_rounds_are_not_compared() -> None:
    """A round that one of them lacks is an error, and no round is left out."""
    with pytest.raises(ValueError, match="shorter"):
        OURS.over(Series("once", (1.0,)))


def test_the_time_of_one_is_the_time_of_all_by_their_number() -> None:
    """Executions and checks alike."""
    assert GROWTH[1].each_s == 0.1
    assert RESULTS.checks[0].each_s == 0.01


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """JSON holds all of them, and what is not them is refused."""
    path = tmp_path / "results.json"
    RESULTS.write(path)
    assert Results.read(path) == RESULTS
    path.write_text("{}")
    with pytest.raises(RecordError, match="Results has missing or unknown members"):
        Results.read(path)
