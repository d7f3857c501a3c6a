"""The check of mixed-up replies is red on the real redis-py that mixed them up, and only there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from labkit.services.endpoints import Lease
from labkit.services.urls import RedisUrl

ROOT = Path(__file__).parent.parent
LONG_S = 300


def installed(version: str, folder: Path) -> Path:
    """A folder with nothing in it but this redis-py and what it needs, by their hashes."""
    pins = ROOT / "tests" / "data" / f"redis-{version}.txt"
    into = ["--target", str(folder), "--no-deps", "--require-hashes", "-r", str(pins)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *into]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def judged(lease: Lease, folder: Path | None = None) -> dict[str, Any]:
    """What the procedure says in a process that finds its redis-py in the folder first."""
    url = RedisUrl.parse(lease.redis_url.reveal())
    given = {
        "path": url.host.name,
        "port": None if url.host.is_socket else url.host.port,
        "login": {"username": url.user, "password": url.password},
        "prefix": lease.redis_prefix,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.old_client"],
        input=json.dumps(given) + "\n",
        env={**os.environ, "PYTHONPATH": str(folder or "")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.slow
@pytest.mark.parametrize("version", ["4.5.1", "4.5.3"])
def test_a_vulnerable_redis_py_is_caught(lease: Lease, tmp_path: Path, version: str) -> None:
    """The next user of the connection is handed the cancelled request's reply."""
    said = judged(lease, installed(version, tmp_path))
    assert said["version"] == version
    assert (said["valid"], said["reason"]) == (False, "foreign-reply")
    assert "canary-0-of-its-own" in said["first"]


@pytest.mark.slow
def test_the_first_fixed_redis_py_is_clean(lease: Lease, tmp_path: Path) -> None:
    """What is caught is the fault itself, and not the age of the client."""
    said = judged(lease, installed("4.5.4", tmp_path))
    assert (said["version"], said["valid"], said["reason"]) == ("4.5.4", True, "")


def test_the_redis_py_that_the_lab_stands_on_is_clean(lease: Lease) -> None:
    """In the same process, with nothing in front of it."""
    said = judged(lease)
    assert (said["version"], said["valid"]) == (redis.__version__, True)
