"""The command keeps what it measured where the README shows it."""

import shutil
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import keep, main, plain_environment
from benchmarks.results import Results
from benchmarks.table import section
from tests.benchmarks.samples import RESULTS

ROOT: Final = Path(__file__).parent.parent.parent


def test_results_are_kept_and_shown(tmp_path: Path) -> None:
    """As data, as a picture, and in the README; once more, nothing changes."""
    (tmp_path / "benchmarks").mkdir()
    readme = Path(shutil.copy(ROOT / "README.md", tmp_path))
    keep(RESULTS, tmp_path)
    assert Results.read(tmp_path / "benchmarks" / "results.json") == RESULTS
    first = readme.read_text(encoding="utf-8")
    assert section(RESULTS) in first
    assert "](benchmarks/ratios.svg)" in first
    assert (tmp_path / "benchmarks" / "ratios.svg").read_text().endswith("</svg>\n")
    keep(RESULTS, tmp_path)
    assert readme.read_text(encoding="utf-8") == first


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_says_what_it_takes(option: str) -> None:
    """What has to be installed, how long it takes, and what each option is for."""
    told = " ".join(CliRunner().invoke(main, [option]).output.split())
    assert "needs what requirements-benchmarks.txt installs" in told
    assert "A round takes some minutes" in told
    assert "How often each contender is measured" in told


def test_settings_of_labkit_do_not_reach_the_contenders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Given servers and the user's own cache are left alone."""
    monkeypatch.setenv("LABKIT_POSTGRES_URL", "postgresql://other")
    environment = plain_environment(tmp_path)
    assert {name for name in environment if name.startswith("LABKIT_")} == {"LABKIT_CACHE_DIR"}
    assert environment["LABKIT_CACHE_DIR"] == str(tmp_path)
