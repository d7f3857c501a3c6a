"""What runs of a package is measured in processes of its own, and told by module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.batch.coverage import CoverageMeter, package_of, sabotages_of
from labkit.journal import FileCoverage
from labkit.warm.programs import COVERAGE, launcher


@pytest.mark.parametrize(
    ("target", "package"),
    [
        ("labkit.reference:Platform", "labkit.reference"),
        ("labkit.reference.sabotage.data:CommitsOnError", "labkit.reference.sabotage"),
        ("json:JSONDecoder", "json"),
        ("nowhere_to_be_found:Target", "nowhere_to_be_found"),
        ("nowhere_to_be_found.module:Target", "nowhere_to_be_found"),
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
    meter = CoverageMeter(tmp_path / "measured", ["shop:Shop"])
    environment = {**os.environ, COVERAGE: str(meter.settings), "PYTHONPATH": str(tmp_path)}
    ended = [
        subprocess.run(
            [sys.executable, *launcher("shop", environment), way], check=False, env=environment
        ).returncode
        for way in ("left", "right", "killed")
    ]
    assert ended == [0, 0, -9]
    assert meter.measured() == (
        FileCoverage("shop.__main__", 7, (7,)),
        FileCoverage("shop.idle", 2, (1, 2)),
    )


def test_sabotages_do_not_count(tmp_path: Path) -> None:
    """The package in which a target keeps its faulty platforms is known by the target itself."""
    assert sabotages_of("labkit.reference:Platform") == "labkit.reference.sabotage"
    assert sabotages_of("nowhere_to_be_found:Target") is None
    meter = CoverageMeter(tmp_path / "measured", ["labkit.reference:Platform"])
    environment = {**os.environ, COVERAGE: str(meter.settings)}
    argv = [sys.executable, *launcher("labkit.reference", environment)]
    subprocess.run(argv, check=False, env=environment, input=b"{}\n", capture_output=True)
    modules = {file.module for file in meter.measured()}
    assert "labkit.reference.data.store" in modules
    assert not any("sabotage" in module for module in modules)


def test_nothing_that_ran_is_nothing(tmp_path: Path) -> None:
    """A run whose notebooks never started has measured nothing."""
    assert CoverageMeter(tmp_path / "measured", ["shop:Shop"]).measured() == ()
