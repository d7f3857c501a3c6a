"""Each notebook is green on the reference platform, and has checks that can fail.

That they do, `labkit prove` shows; areas whose sabotages it does not know yet have tables here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

import nbformat
import pytest
import yaml

import tests
from labkit.batch.execution import Ended
from labkit.journal import Ending
from labkit.json_values import JsonValue
from labkit.notebook import read_notebook
from labkit.records import Outcome
from labkit.reference import Platform
from labkit.targets.loading import load_sabotages
from tests.notebooks import areas
from tests.notebooks.stage import ROOT, Caught, Notebook, notebook_path

CAUGHT: Final[Mapping[str, Caught]] = MappingProxyType(
    {
        one.name: import_module(f"{areas.__name__}.{one.name}").CAUGHT
        for one in pkgutil.iter_modules(areas.__path__)
    }
)
"""What the notebooks of areas catch whose sabotages are not in the catalogue."""

SABOTAGES: Final = [
    pytest.param(area, saboteur, id=f"{area}-{saboteur.__name__}")
    for area, caught in CAUGHT.items()
    for saboteur in caught
]

AREAS: Final = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))

of_each_area: Final = pytest.mark.parametrize("area", AREAS)


def declared(area: str) -> list[str]:
    """The names of the checks that the notebook's source declares."""
    return [check.name for check in read_notebook(notebook_path(area)).checks]


def given(area: str, environment: str) -> dict[str, JsonValue]:
    """What `params/` holds for an environment and this notebook declares."""
    values = yaml.safe_load((ROOT / "params" / f"{environment}.yaml").read_text())
    own = {one.name for one in read_notebook(notebook_path(area)).parameters}
    return {name: value for name, value in values.items() if name in own}


def saboteurs() -> Iterator[type[Platform]]:
    """The platforms of all modules of saboteurs."""
    for one in pkgutil.iter_modules(tests.__path__):
        if one.name.startswith("saboteurs"):
            module = import_module(f"{tests.__name__}.{one.name}")
            classes = [found for found in vars(module).values() if isinstance(found, type)]
            made_here = [found for found in classes if found.__module__ == module.__name__]
            yield from (found for found in made_here if issubclass(found, Platform))


def test_every_saboteur_is_tried() -> None:
    """None of those in `tests/saboteurs*.py` is left out of the tables."""
    assert {one for caught in CAUGHT.values() for one in caught} == set(saboteurs())


@of_each_area
def test_every_check_is_seen_to_fail(area: str) -> None:
    """Some sabotage must be caught by each check of the notebook."""
    sabotages = load_sabotages("labkit.reference:Platform")
    caught = {catch.check for one in sabotages for catch in one.must}
    caught |= {check for reasons in CAUGHT.get(area, {}).values() for check in reasons}
    assert set(declared(area)) <= caught


@pytest.mark.parametrize("environment", ["test", "development", "staging"])
@of_each_area
def test_reference_platform_passes_every_check(
    area: str, environment: str, variables: Mapping[str, str]
) -> None:
    """All declared checks pass where nothing is wrong, each once and with something compared."""
    parameters = given(area, environment)
    executed = Notebook(notebook_path(area), variables).execute(Platform, parameters)
    assert executed.not_passed == {}, executed.details
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared(area)
    assert all(check.expectations for check in executed.checks)


@pytest.mark.parametrize(("area", "saboteur"), SABOTAGES)
def test_faulty_part_turns_red_what_it_concerns(
    area: str, saboteur: type[Platform], variables: Mapping[str, str]
) -> None:
    """The checks concerned fail for the expected reason; no other check is anything but passed."""
    executed = Notebook(notebook_path(area), variables).execute(saboteur, {})
    reasons = CAUGHT[area][saboteur]
    failed = {check: (Outcome.FAILED, reason) for check, reason in reasons.items()}
    assert executed.not_passed == failed, executed.details
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared(area)


@of_each_area
def test_committed_notebook_is_clean(area: str) -> None:
    """It has no outputs and no execution counts, and nothing that a run has left behind."""
    notebook = nbformat.read(notebook_path(area), as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells if cell.outputs] == []
    assert {cell.execution_count for cell in cells} == {None}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags"}


@of_each_area
def test_defaults_are_those_of_the_test_environment(area: str) -> None:
    """Without parameters the notebook runs as it does with `params/test.yaml`."""
    parameters = read_notebook(notebook_path(area)).parameters
    defaults = {one.name: one.default for one in parameters if one.name != "target"}
    assert defaults == given(area, "test")
