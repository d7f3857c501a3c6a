"""Every sabotage can be loaded, concerns checks that there are, and none is forgotten."""

from __future__ import annotations

import asyncio
import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest

from labkit.notebook import read_notebook
from labkit.reference import Platform, sabotage
from labkit.reference.data.schema import Schema
from labkit.reference.sabotage.downstream import DOWNSTREAM
from labkit.services.endpoints import Lease
from labkit.targets.loading import load_sabotages, load_target

ROOT = Path(__file__).parents[3]
REFERENCE = "labkit.reference:Platform"
FAULTY = [cast(type[Platform], load_target(one.target)) for one in load_sabotages(REFERENCE)]
ALTERED = [one for one in FAULTY if one.parts.schema is not Schema]


def declared() -> Mapping[str, str]:
    """The area of each check that the project's notebooks declare."""
    notebooks = map(read_notebook, sorted((ROOT / "notebooks").glob("*.ipynb")))
    return {check.name: one.name for one in notebooks for check in one.checks}


def faulty_platforms() -> Iterator[str]:
    """All platforms that the modules of sabotages make, as they are loaded."""
    for found in pkgutil.iter_modules(sabotage.__path__):
        module = import_module(f"{sabotage.__name__}.{found.name}")
        classes = (one for one in vars(module).values() if isinstance(one, type))
        made_here = (one for one in classes if one.__module__ == module.__name__)
        for one in made_here:
            if issubclass(one, Platform):
                yield f"{module.__name__}:{one.__name__}"


def test_every_sabotage_is_a_target() -> None:
    """A kernel can load it by its name; what is wrong with it is told in one sentence."""
    for one in load_sabotages(REFERENCE):
        assert load_target(one.target) in FAULTY
        assert one.fault.endswith(".")
        assert one.promise.endswith(".")


def test_every_faulty_platform_is_in_the_catalogue() -> None:
    """None is made and never tried."""
    assert sorted(one.target for one in load_sabotages(REFERENCE)) == sorted(faulty_platforms())


def test_what_is_downstream_lies_in_other_areas() -> None:
    """What a fault does to the checks of its own area stands where the fault is made."""
    areas = declared()
    own = {one.name: one.area for one in load_sabotages(REFERENCE)}
    for name, checks in DOWNSTREAM.items():
        assert own[name] not in {areas[check] for check in checks}


def test_every_sabotage_concerns_checks_that_there_are() -> None:
    """Those that must catch it, of its own area at least one, and those that may turn red."""
    areas = declared()
    for one in load_sabotages(REFERENCE):
        must = [catch.check for catch in one.must]
        assert {*must, *one.may} <= set(areas), one.name
        assert one.area in {areas[check] for check in must}, one.name


def test_platform_has_no_trace_of_them() -> None:
    """Nothing of the platform imports a sabotage, nor loads one unless it is asked to."""
    package = ROOT / "labkit" / "reference"
    own = [path for path in package.rglob("*.py") if "sabotage" not in path.parts]
    told = [path.name for path in own if "sabotage" in path.read_text(encoding="utf-8")]
    assert told == ["platform.py"]


@pytest.mark.parametrize("faulty", ALTERED)
def test_altered_schema_can_be_installed_twice(faulty: type[Platform], copied: Lease) -> None:
    """A template has it already when a notebook installs it once more."""
    for _ in range(2):
        asyncio.run(faulty.install(copied))
