"""Parts are found by name, so that nobody loads them who does not need them."""

from __future__ import annotations

from typing import Final

import pytest

from labkit.errors import TargetError
from labkit.reference import Parts
from labkit.reference.configuration.loading import Loader
from labkit.reference.configuration.parts import ConfigurationParts, parts_named


class _Other(Loader):
    pass


OTHER: Final = ConfigurationParts(loader=_Other)


def test_the_name_that_a_platform_gives_leads_to_its_parts() -> None:
    """A class is made with its defaults, a value is taken as it is."""
    assert parts_named(Parts().configuration) == ConfigurationParts()
    assert parts_named(f"{__name__}:OTHER") is OTHER


@pytest.mark.parametrize("name", ["", "nowhere:Parts", f"{__name__}:Parts.none", "a b"])
def test_a_name_that_leads_nowhere_is_refused(name: str) -> None:
    """The name is told."""
    with pytest.raises(TargetError, match="cannot be loaded"):
        parts_named(name)


def test_a_name_of_something_else_is_refused() -> None:
    """What it is instead is told."""
    with pytest.raises(TargetError, match="is no ConfigurationParts, but function"):
        parts_named(f"{__name__}:test_a_name_of_something_else_is_refused")
