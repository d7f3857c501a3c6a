"""What runs of a package is measured in processes of its own, and told by module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.batch.coverage import CoverageMeter, package_of
from labkit.journal import FileCoverage
from labkit.warm.programs import COVERAGE, launcher


@pytest.mark.parametrize(
    ("target", "package"),
    [
        ("labkit.reference:Platform", "labkit.reference"),
        ("labkit.reference.sabotage.data:CommitsOnError", "labkit.reference.sabotage"),
        ("json:JSONDecoder", "json"),
        ("nowhere_to_be_found:Target", "nowhere_to_be_found"),
    ],
)
def test_the_package_of_a_target(target: str, package: str) -> None:
    """The one that it is, or lies in; a module of its own stands for itself."""
    assert package_of(target) == package


def test_processes_are_added_up(tmp_path: Path) -> None:
    """Each runs another half, one is killed and tells nothing, and one module is never imported."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "idle.py").write_text("one = 1\ntwo = 2\n")
    (package / "__main__.py").write_text(
        "import os, sys\n"
        "if sys.argv[1] == 'left':\n    print('left')\n"
        "if sys.argv[1] == 'right':\n    print('right')\n"
        "if sys.argv[1] == 'killed':\n    os.kill(os.getpid(), 9)\n"
    )
    meter = CoverageMeter(tmp_path / "measured", ["shop"])
    environment = {**os.environ, COVERAGE: str(meter.settings), "PYTHONPATH": str(tmp_path)}
    ended = [
        subprocess.run(
            [sys.executable, *launcher("shop", environment), way], check=False, env=environment
        ).returncode
        for way in ("left", "right", "killed")
    ]
    assert ended == [0, 0, -9]
    assert meter.measured() == (
        FileCoverage("shop", 0, 0),
        FileCoverage("shop.__main__", 7, 1),
        FileCoverage("shop.idle", 2, 2),
    )


def test_nothing_that_ran_is_nothing(tmp_path: Path) -> None:
    """A run whose notebooks never started has measured nothing."""
    assert CoverageMeter(tmp_path / "measured", ["shop"]).measured() == ()
