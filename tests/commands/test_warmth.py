"""A command that imports much is not held up by that afterwards."""

from __future__ import annotations

import gc

import pytest

from labkit.commands.warmth import importing_much


def fails() -> None:
    """Fail as an import does, while nothing is collected."""
    assert not gc.isenabled()
    raise ImportError


def test_what_a_command_imports_is_never_looked_through_for_garbage() -> None:
    """What comes to be afterwards is, also where the import failed."""
    with pytest.raises(ImportError), importing_much():
        fails()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()  # other tests' garbage is among it
