"""The ratios as a picture."""

from benchmarks.contenders import NBMAKE, PAPERMILL, SCRIPT, WARM_ONE
from benchmarks.picture import ratio_picture
from tests.benchmarks.samples import RESULTS


def test_every_contender_has_its_bar_beside_papermill() -> None:
    """Names and ratios stand in the picture and in its words; papermill's own ratio is 1."""
    picture = ratio_picture(RESULTS)
    assert f"fixed: {WARM_ONE}: 0.11;" in picture.words
    for name in (f"fixed: {NBMAKE}", f"own: {SCRIPT}"):
        assert name in picture.svg
        assert name in picture.words
    assert f": {PAPERMILL}" not in picture.words
