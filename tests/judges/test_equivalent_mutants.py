"""The list of changes that no test can tell from the judges, held to the judges as they are."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from labkit import judges

HERE: Final = Path(__file__).parent
LISTED: Final[list[Mapping[str, str]]] = tomllib.loads(
    (HERE / "equivalent_mutants.toml").read_text(encoding="utf-8")
)["mutant"]


def text_of(place: str) -> str:
    """The text of a function that is named by its module and its name."""
    module, name = place.split(":")
    source = Path(judges.__path__[0], f"{module}.py").read_text(encoding="utf-8")
    [function] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    return ast.get_source_segment(source, function) or ""


@pytest.mark.parametrize("mutant", LISTED, ids=lambda one: f"{one['place']}: {one['after']}")
def test_a_mutant_that_is_listed_is_still_one_of_the_judges(mutant: Mapping[str, str]) -> None:
    """What it changes stands in its function, once, and there is a reason why it may."""
    text = text_of(mutant["place"])

    assert text.count(mutant["before"]) == 1
    assert mutant["after"] not in text
    assert mutant["why"]


def test_the_tests_of_the_judges_can_be_asked_for_by_name(request: pytest.FixtureRequest) -> None:
    """A name that pytest has to escape is not found again, and would pass for a killed mutant."""
    names = [item.name for item in request.session.items if item.path.parent == HERE]
    assert names
    assert [name for name in names if "\\" in name] == []


def test_no_mutant_is_listed_twice() -> None:
    """Each has one reason."""
    changes = [(one["place"], one["before"], one["after"]) for one in LISTED]
    assert len(set(changes)) == len(changes)
