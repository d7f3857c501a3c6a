"""What a process is told survives its way, and shows no secret."""

from __future__ import annotations

import pytest

from labkit.errors import RecordError
from labkit.reference.configuration.worker_config import WorkerConfig
from tests.reference.configuration.stage import PARTS, SECRET, VARIABLES

CONFIG = WorkerConfig(PARTS, "auth", "test", 1, VARIABLES)


def test_a_line_is_read_as_it_was_written() -> None:
    """One line, secrets included."""
    assert "\n" not in CONFIG.to_line()
    assert WorkerConfig.from_line(CONFIG.to_line()) == CONFIG


def test_its_variables_are_not_shown() -> None:
    """They hold secrets."""
    assert SECRET not in repr(CONFIG)


@pytest.mark.parametrize("line", ["", "{}", "[]", f'"{SECRET}"', CONFIG.to_line()[:-2]])
def test_anything_else_is_refused_without_quoting_it(line: str) -> None:
    """It may hold a secret."""
    with pytest.raises(RecordError, match="must be one line of JSON") as refusal:
        WorkerConfig.from_line(line)
    assert SECRET not in str(refusal.value)
