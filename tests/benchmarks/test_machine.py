"""What is kept of a machine tells what it is, and not which."""

import os
import platform
import subprocess
from dataclasses import astuple
from pathlib import Path

import pytest

import labkit
from benchmarks.machine import describe_machine
from labkit.errors import UsageError
from labkit.services.endpoints import Services


def _git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["/usr/bin/env", "git", "-C", str(folder), *author, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with one commit."""
    _git(tmp_path, "init", "-q")
    (tmp_path / "file").touch()
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_commit_is_named_and_whether_it_is_all(clone: Path, services: Services) -> None:
    """A file that differs from the commit makes it a changed one."""
    described = describe_machine(clone, services, ())
    assert described.commit == _git(clone, "rev-parse", "HEAD")
    assert not described.is_changed
    (clone / "file").write_text("new")
    assert describe_machine(clone, services, ()).is_changed


def test_it_names_versions_and_no_host(clone: Path, services: Services) -> None:
    """Python, packages and servers; neither the host's name nor a path."""
    described = describe_machine(clone, services, ("labkit", "papermill"))
    assert (described.python, described.cores) == (platform.python_version(), os.cpu_count())
    versions = dict(described.versions)
    assert versions["PostgreSQL"] == services.postgres.version.version
    assert versions["labkit"] == labkit.__version__
    assert len(versions) == 4
    text = str(astuple(described))
    assert "/" not in text
    assert platform.node() not in text


def test_a_package_that_is_missing_is_named(clone: Path, services: Services) -> None:
    """Nothing is measured without one of the contenders; the error says what to install."""
    with pytest.raises(UsageError, match="no-such-thing is not installed here; install req"):
        describe_machine(clone, services, ("no-such-thing",))
