"""Each notebook is committed clean, and green with the sizes of every environment.

That its checks can fail, and are green with the sizes of the tests, `labkit prove` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import nbformat
import pytest
import yaml

from labkit.batch.execution import Ended
from labkit.journal import Ending
from labkit.json_values import JsonValue
from labkit.notebook import read_notebook
from labkit.reference import Platform
from labkit.targets.loading import load_sabotages
from tests.notebooks.stage import ROOT, Notebook, notebook_path

AREAS: Final = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))

of_each_area: Final = pytest.mark.parametrize("area", AREAS)


def declared(area: str) -> list[str]:
    """The names of the checks that the notebook's source declares."""
    return [check.name for check in read_notebook(notebook_path(area)).checks]


def given(area: str, environment: str) -> dict[str, JsonValue]:
    """What a file of `params/` holds and this notebook declares."""
    values = yaml.safe_load((ROOT / "params" / f"{environment}.yaml").read_text())
    own = {one.name for one in read_notebook(notebook_path(area)).parameters}
    return {name: value for name, value in values.items() if name in own}


@of_each_area
def test_every_check_is_seen_to_fail(area: str) -> None:
    """Some sabotage must be caught by each check of the notebook."""
    sabotages = load_sabotages("labkit.reference:Platform")
    caught = {catch.check for one in sabotages for catch in one.must}
    assert set(declared(area)) <= caught


@pytest.mark.parametrize("environment", ["development", "fast", "staging"])
@of_each_area
def test_reference_platform_passes_every_check(
    area: str, environment: str, variables: Mapping[str, str]
) -> None:
    """All declared checks pass where nothing is wrong, each once and with something compared."""
    parameters = given(area, "test") | given(area, environment)
    executed = Notebook(notebook_path(area), variables).execute(Platform, parameters)
    assert executed.not_passed == {}, executed.details
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared(area)
    assert all(check.expectations for check in executed.checks)


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
