"""Requests for forks arrive whole, with their descriptors, or are refused with none left open."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from labkit.errors import RecordError
from labkit.warm.requests import LONGEST_BYTES, Request, answer, receive_request, send_request

REQUEST: Final = Request("module", ("-f", "é"), {"NAME": "1", "RAW": "\udcff"}, "/", ("/lib",))
LINE: Final = json.dumps({**REQUEST.__dict__}).encode() + b"\n"
STANDARD: Final = (0, 1, 2)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection: who asks, and who is asked."""
    asking, asked = socket.socketpair()
    with asking, asked:
        yield asking, asked


def soon() -> float:
    """A deadline that is far enough for what is sent already."""
    return time.monotonic() + 60.0


def open_descriptors() -> set[str]:
    """The descriptors of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_request_arrives_as_it_was_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    """Texts that are no UTF-8 too; the descriptors are of the sender's files, in their order."""
    asking, asked = ends
    files = [os.memfd_create(name) for name in ("input", "output", "error")]
    send_request(asking, REQUEST, files)
    request, descriptors = receive_request(asked, soon())
    assert request == REQUEST
    assert [os.fstat(one).st_ino for one in descriptors] == [os.fstat(one).st_ino for one in files]
    assert set(descriptors).isdisjoint(files)
    for descriptor in (*files, *descriptors):
        os.close(descriptor)


def test_a_request_as_long_as_an_environment_can_be_arrives(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """It is sent in pieces, of which the first brings the descriptors."""
    asking, asked = ends
    long = replace(REQUEST, environment={f"NAME_{number}": "x" * 100_000 for number in range(20)})
    sending = threading.Thread(target=send_request, args=(asking, long, STANDARD))
    sending.start()
    request, descriptors = receive_request(asked, soon())
    sending.join()
    assert request == long
    assert len(descriptors) == 3
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("line", "standard", "why"),
    [
        (b"", (), "with 0 descriptors"),
        (LINE, (0, 1), "with 2 descriptors"),
        (LINE, (0, 1, 2, 0), "with more than 3 descriptors"),
        (b"\x00\xff\n", STANDARD, "cannot be read"),
        (b"[" * 100_000 + b"\n", STANDARD, "cannot be read: RecursionError"),
        (b"[1]\n", STANDARD, "cannot be read: TypeError"),
        (b"{}\n", STANDARD, "cannot be read: KeyError: 'argv'"),
        (b'{"argv": [], "search_path": []}\n', STANDARD, "cannot be read: TypeError"),
        (LINE.replace(b"module", b"modul", 1), STANDARD, "cannot be read: TypeError"),
        (LINE[:-1].replace(b"}", b""), STANDARD, "cannot be read: JSONDecodeError"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(
    line: bytes, standard: tuple[int, ...], why: str, ends: tuple[socket.socket, socket.socket]
) -> None:
    """The reason is told, and no descriptor that came with it stays open."""
    asking, asked = ends
    before = open_descriptors()
    if standard:
        socket.send_fds(asking, [line], standard)
    asking.shutdown(socket.SHUT_WR)
    with pytest.raises(RecordError, match=why):
        receive_request(asked, soon())
    assert open_descriptors() == before


def test_a_request_that_is_too_long_is_refused(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """It is not read to its end."""
    asking, asked = ends
    before = open_descriptors()

    def flood() -> None:
        socket.send_fds(asking, [b"x"], STANDARD)
        with pytest.raises(OSError, match="Broken pipe"):
            asking.sendall(b"x" * (2 * LONGEST_BYTES))

    flooding = threading.Thread(target=flood)
    flooding.start()
    with pytest.raises(RecordError, match=f"longer than {LONGEST_BYTES} bytes"):
        receive_request(asked, soon())
    asked.shutdown(socket.SHUT_RDWR)
    flooding.join()
    assert open_descriptors() == before


def test_a_request_that_does_not_come_in_time_is_given_up(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The deadline is for all of it, however often a piece comes; no descriptor stays open."""
    asking, asked = ends
    before = open_descriptors()
    socket.send_fds(asking, [LINE[:-1]], STANDARD)
    with pytest.raises(TimeoutError):
        receive_request(asked, time.monotonic() + 0.05)
    asking.sendall(b"\n")
    with pytest.raises(TimeoutError):
        receive_request(asked, time.monotonic())
    assert open_descriptors() == before


def test_an_answer_is_one_line(ends: tuple[socket.socket, socket.socket]) -> None:
    """Of JSON; who has gone cannot be told anything."""
    asking, asked = ends
    answer(asked, pid=7, error="é\n")
    assert json.loads(asking.makefile().readline()) == {"pid": 7, "error": "é\n"}
    asking.close()
    with pytest.raises(BrokenPipeError):
        answer(asked, pid=7)


def test_a_sender_keeps_its_descriptors(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    """They are copied on the way."""
    asking, _ = ends
    with (tmp_path / "file").open("w") as file:
        send_request(asking, REQUEST, [file.fileno()] * 3)
        assert os.fstat(file.fileno()).st_ino
