"""The frames that clients and servers exchange."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from labkit.errors import RecordError, Rejected
from labkit.events import Event, EventType
from labkit.redaction import Secret
from labkit.reference.wire.frames import (
    LARGEST_SEQ,
    Authenticate,
    BadFrame,
    Cancel,
    ClientFrame,
    Continue,
    NotJson,
    Quality,
    Resume,
    Submit,
    parse,
    read,
    text_of,
)
from labkit.targets.notifications import Notice, NoticeKind

FRAMES = [
    Authenticate(Secret("the token")),
    Submit("m1", "t1", "lookup the wéather\n"),
    Submit("m1", "t1", "", agent="other"),
    Resume("r1"),
    Resume("r1", 0, "c1"),
    Resume("r1", LARGEST_SEQ),
    Continue("r1"),
    Cancel("r1"),
    Quality("q1", MappingProxyType({"type": "alert", "value": 1.5, "more": [None, {"a": True}]})),
]

EVENT = Event(
    type=EventType.TOOL_EXECUTING,
    user="u1",
    ts=1_700_000_000_000,
    seq=2,
    thread="t1",
    run="r1",
    request="m1",
    call="c1",
    data=MappingProxyType({"name": "lookup", "nested": {"one": [1, 2.5, "ü"]}}),
)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_a_clients_frame_is_read_back_as_it_was_meant(frame: ClientFrame) -> None:
    """Each kind of frame comes through the wire unchanged."""
    assert parse(text_of(frame)) == frame


def test_a_token_shows_in_its_frame_alone() -> None:
    """The frame carries the token's value, and its `repr` does not."""
    frame = Authenticate(Secret("the token"))
    assert "the token" in text_of(frame)
    assert "the token" not in repr(parse(text_of(frame)))


@pytest.mark.parametrize(
    "text",
    ["", "{", "hello", '{"type": NaN}', '{"type": "\\ud800"}', "[" * 100_000, "9" * 5_000],
    ids=["empty", "cut", "a word", "NaN", "half a surrogate pair", "too deep", "too long"],
)
def test_a_text_that_is_not_json_is_told_from_a_bad_frame(text: str) -> None:
    """The server closes the connection for it."""
    with pytest.raises(NotJson, match=r"^the frame is not JSON$"):
        parse(text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "must be a JSON object"),
        (None, "must be a JSON object"),
        ({}, "its type is none that a client may send"),
        ({"type": "welcome"}, "its type is none that a client may send"),
        ({"type": ["message"]}, "its type is none that a client may send"),
        ({"type": "authenticate", "token": 5}, "'token' must be a text"),
        ({"type": "message", "id": "m", "thread": "t"}, "'text' must be a text"),
        (
            {"type": "message", "id": "m", "thread": "t", "text": "", "agent": 1},
            "'agent' must be a text",
        ),
        ({"type": "resume", "after": 1}, "'run' must be a text"),
        ({"type": "resume", "run": "r", "after": -1}, "'after' must be a whole number"),
        ({"type": "resume", "run": "r", "after": True}, "'after' must be a whole number"),
        ({"type": "resume", "run": "r", "after": 2**31}, "'after' must be a whole number"),
        ({"type": "quality", "id": "q", "payload": []}, "'payload' must be an object"),
        ({"type": "cancel", "run": "r", "aftr": 5}, r"1 field\(s\) too many"),
    ],
)
def test_json_that_is_no_frame_is_refused_with_the_reason(value: object, reason: str) -> None:
    """What is wrong is said."""
    with pytest.raises(BadFrame, match=reason):
        parse(json.dumps(value))


def test_a_refusal_names_the_message_and_not_what_it_holds() -> None:
    """The sender learns which of its frames it was; nobody learns its text."""
    with pytest.raises(BadFrame) as caught:
        parse(json.dumps({"type": "message", "id": "m7", "thread": 1, "text": "private words"}))
    assert caught.value.message == "m7"
    assert isinstance(caught.value, Rejected)
    assert "private" not in str(caught.value)


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_a_notice_is_read_back_as_it_was_said(kind: NoticeKind) -> None:
    """Each kind, empty and full."""
    for notice in (
        Notice(kind),
        Notice(kind, "c", "m", "r", "why", True, MappingProxyType({"a": [1]})),  # noqa: FBT003
    ):
        assert read(text_of(notice)) == notice


def test_an_event_is_read_back_as_it_was_published() -> None:
    """All its fields, those of no run included."""
    assert read(text_of(EVENT)) == EVENT
    quality = Event(type=EventType.QUALITY_ALERT, user="u1", ts=5)
    assert read(text_of(quality)) == quality


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        '{"type": "welcome"}',
        json.dumps(json.loads(text_of(Notice(NoticeKind.GONE))) | {"run": 5}),
        json.dumps(json.loads(text_of(Notice(NoticeKind.GONE))) | {"was_dropped": 0}),
        json.dumps(json.loads(text_of(EVENT)) | {"seq": -1}),
        json.dumps(json.loads(text_of(EVENT)) | {"type": "message"}),
    ],
)
def test_a_servers_frame_that_says_neither_is_not_read(text: str) -> None:
    """A client does not guess at what it does not know."""
    with pytest.raises(RecordError):
        read(text)
