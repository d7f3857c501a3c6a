"""A process is forked only where a fork of it is whole, and the fork has a state of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.services.owners import eventually, is_running, same_imports
from tests.warm.stage import Warm, ran

ASKS: Final = """
from labkit.warm.state import can_fork, why_not_to_fork
assert can_fork()
print(why_not_to_fork())
"""

DRAWS: Final = """
import json, random, tempfile, uuid
import numpy
drawn = (random.random(), numpy.random.random(), uuid.uuid1().hex, uuid.uuid4().hex,
         tempfile.mktemp(), next(tempfile._get_candidate_names()))
print(json.dumps(drawn))
"""

TELLS: Final = """
import json, os, sys, tempfile, time
facts = {"environment": dict(os.environ), "folder": os.getcwd(), "path": sys.path,
         "argv": sys.argv[2:], "zone": time.tzname[0], "temporary": tempfile.gettempdir()}
os.environ["SPOILED"] = "yes"
sys.path.append("/spoiled")
print(json.dumps(facts))
"""

RENEWS: Final = """
import json, os, sys, tempfile
import numpy.random
from labkit.warm.state import renew
tempfile.gettempdir(), numpy.random.random()
for fork in range(2):
    if os.fork() == 0:
        renew({"TMPDIR": sys.argv[1]}, "/")
        print(json.dumps([tempfile.gettempdir(), numpy.random.random()]), flush=True)
        os._exit(0)
    os.wait()
"""
"""Two forks of a process that has used before what is given anew."""

DIES_WITH: Final = """
import os, signal, sys
from labkit.warm.state import die_with
parent = os.getpid()
pid = os.fork()
if pid == 0:
    die_with(parent)
    print(os.getpid(), flush=True)
signal.pause()
"""


def asked(before: str) -> str:
    """Why a process that has done something should not be forked."""
    told = subprocess.run(
        [sys.executable, "-c", before + ASKS],
        env=same_imports(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return told.stdout.strip()


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("", ""),
        (
            "from threading import *; Thread(target=Event().wait, daemon=True).start()",
            "the warm process has 2 threads, not one",
        ),
        ("import asyncio; loop = asyncio.new_event_loop()", "the warm process has an event loop"),
        ("import asyncio; asyncio.run(asyncio.sleep(0))", ""),
        ("import zmq; context = zmq.Context()", "the warm process has a zmq context"),
        ("import zmq; context = zmq.Context.instance()", "the warm process has a zmq context"),
        ("import zmq; zmq.Context.instance().term()", ""),
    ],
)
def test_what_does_not_live_on_in_a_fork_forbids_it(before: str, why: str) -> None:
    """It is told; what was there and is gone is no hindrance."""
    assert asked(f"{before}\n") == why


def told(warm: Warm, text: str, *words: str, **place: Any) -> Any:
    """What a fork has printed, as JSON."""
    came = asyncio.run(ran(warm.door, text, *words, **place))
    assert came.status == 0, came.text
    return json.loads(came.text)


def test_two_forks_draw_different_numbers(warm: Warm) -> None:
    """Of Python's and numpy's generators, of both kinds of UUID, and for temporary files."""
    first, second = told(warm, DRAWS), told(warm, DRAWS)
    assert [one for one, other in zip(first, second, strict=True) if one == other] == []


def test_a_fork_has_what_it_was_given(warm: Warm, tmp_path: Path) -> None:
    """Its environment and nothing besides, with what follows from it; its folder and arguments."""
    own = {"OWN": "é", "TZ": "XYZ-3", "TMPDIR": str(tmp_path)}
    facts = told(warm, TELLS, "-f", "a b", folder=tmp_path, environment=own)
    assert facts["environment"] == own
    assert facts["folder"] == str(tmp_path)
    assert facts["argv"] == ["-f", "a b"]
    assert facts["zone"] == "XYZ"
    assert facts["temporary"] == str(tmp_path)


def test_what_was_used_before_the_fork_is_given_anew(tmp_path: Path) -> None:
    """The numbers of numpy, which are otherwise those of the process, and the folder for files."""
    told = subprocess.run(
        [sys.executable, "-c", RENEWS, str(tmp_path)],
        env=same_imports(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, second = map(json.loads, told.stdout.splitlines())
    assert first[0] == second[0] == str(tmp_path)
    assert first[1] != second[1]


def test_a_fork_sees_nothing_of_an_earlier_one(warm: Warm, tmp_path: Path) -> None:
    """Neither what that was given nor what it did."""
    before = told(warm, TELLS, environment={"EARLIER": "yes"}, folder=tmp_path)
    after = told(warm, TELLS)
    assert {"EARLIER", "SPOILED"}.isdisjoint(after["environment"])
    assert after["folder"] == str(Path.cwd())
    assert before["path"][0] == str(tmp_path)
    assert after["path"] == [str(Path.cwd()), *before["path"][1:]]


def test_a_fork_dies_with_the_process_that_made_it() -> None:
    """SIGKILL to the parent ends the child, which has no other reason to end."""
    argv = [sys.executable, "-c", DIES_WITH]
    with subprocess.Popen(argv, env=same_imports(), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
        assert eventually(lambda: not is_running(child))


def test_a_fork_whose_parent_is_gone_already_does_not_go_on() -> None:
    """A parent that died before the signal could be asked for sends none."""
    source = "from labkit.warm.state import die_with; die_with(1); print('goes on')"
    argv = [sys.executable, "-c", source]
    gone = subprocess.run(
        argv, env=same_imports(), capture_output=True, text=True, check=False, timeout=60
    )
    assert (gone.returncode, gone.stdout) == (1, "")
