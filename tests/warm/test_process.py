"""A warm process has imported everything, and is still such that it can be forked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from labkit.warm.process import MODULES
from tests.warm.stage import Warm, ran

TELLS: Final = """
import json, sys, threading
from labkit.warm.state import why_not_to_fork
print(json.dumps([sys.argv[2:], sys.path, sorted(sys.modules), why_not_to_fork(), __name__]))
"""


def test_a_fork_begins_with_everything_imported(warm: Warm) -> None:
    """It runs as a program does, could itself be forked, and finds modules where others do."""
    came = asyncio.run(ran(warm.door, TELLS, "one"))
    argv, path, modules, why, name = json.loads(came.text)
    assert argv == ["one"]
    assert str(Path(__file__).parents[2]) in path
    assert set(MODULES) <= set(modules)
    assert why == ""
    assert name == "__main__"


def test_nothing_is_said_while_it_warms_up(warm: Warm) -> None:
    """Its log, which would stand in the reason for cold kernels, is empty."""
    assert warm.process._last_words() == "it said nothing"
