"""Servers are held from one command to the next, until they are told to end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.command_line import labkit


def test_services_are_held_between_commands(tmp_path: Path, own: Mapping[str, str]) -> None:
    """`up`, `status` and `down` agree with each other, and show neither password nor URL."""
    steps = [("status", 3), ("up", 0), ("up", 0), ("status", 0), ("down", 0), ("status", 3)]
    told = []
    for step, code in steps:
        ended = labkit("services", step, folder=tmp_path, environment=own)
        assert ended.returncode == code, ended.stderr
        told.append(ended.stdout)
    assert [text.split()[0] for text in told] == [
        "down:",
        "started",
        "already",
        "up",
        "ended",
        "down:",
    ]
    assert "(shared)" in told[1]
    assert "://" not in "".join(told)
