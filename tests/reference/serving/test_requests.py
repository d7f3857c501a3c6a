"""Each frame is handed to the part of the platform that it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from labkit.errors import Denied, Rejected
from labkit.json_values import JsonValue
from labkit.reference.routing.intake import Accepted, Incoming
from labkit.reference.serving.requests import Request, Requests
from labkit.reference.wire.frames import Cancel, Continue, Quality, Submit
from labkit.targets.notifications import Notice, NoticeKind
from tests.reference.publishing import so
from tests.reference.stage import asynchronous


class Desk:
    """A platform of one desk, which writes down what it is asked, and refuses as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[object] = []
        self.error = error
        self.go = asyncio.Event()
        self.go.set()

    async def accept(self, incoming: Incoming) -> Accepted:
        """Take a message in."""
        await self._ask(incoming)
        return Accepted("r1", is_new=True)

    async def cancel(self, user: str, run: str) -> None:
        """End a run."""
        await self._ask(("cancel", user, run))

    async def resume(self, user: str, run: str) -> None:
        """Go on with a run."""
        await self._ask(("resume", user, run))

    async def take(self, user: str, payload: Mapping[str, JsonValue]) -> str:
        """Take what is said of quality."""
        await self._ask(("take", user, dict(payload)))
        return "the handler"

    async def _ask(self, what: object) -> None:
        self.asked.append(what)
        await self.go.wait()
        self.asked.append("done")
        if self.error:
            raise self.error


REQUESTS: list[tuple[Request, object, Notice]] = [
    (
        Submit("m", "t", "text", "agent"),
        Incoming("u", "t", "text", "m", "agent"),
        Notice(NoticeKind.ACCEPTED, message="m", run="r1", data={"is_new": True}),
    ),
    (Cancel("r"), ("cancel", "u", "r"), Notice(NoticeKind.ACCEPTED, run="r")),
    (Continue("r"), ("resume", "u", "r"), Notice(NoticeKind.ACCEPTED, run="r")),
    (
        Quality("q", {"type": "alert"}),
        ("take", "u", {"type": "alert"}),
        Notice(NoticeKind.ROUTED, message="q", reason="the handler"),
    ),
]


@pytest.mark.parametrize(("request_", "asked", "answer"), REQUESTS)
def test_a_request_is_done_for_its_user_and_answered(
    request_: Request, asked: object, answer: Notice
) -> None:
    """The answer names the message or run that it is about."""
    desk = Desk()
    assert asyncio.run(Requests(desk, desk, desk).answer("u", request_)) == answer
    assert desk.asked == [asked, "done"]


@pytest.mark.parametrize(("request_", "asked", "answer"), REQUESTS)
@pytest.mark.parametrize(
    ("error", "kind"), [(Denied("not yours"), "denied"), (Rejected("not valid"), "rejected")]
)
def test_a_refusal_is_an_answer(
    request_: Request, asked: object, answer: Notice, error: Exception, kind: str
) -> None:
    """With the reason, and which kind of refusal it is."""
    del asked
    desk = Desk(error)
    refused = asyncio.run(Requests(desk, desk, desk).answer("u", request_))
    assert refused == Notice(
        NoticeKind.REFUSED,
        message=answer.message,
        run=None if isinstance(request_, Submit) else answer.run,
        reason=str(error),
        data={"error": kind},
    )


@asynchronous
async def test_what_was_begun_is_carried_through() -> None:
    """Although who asked is gone; its failure is logged, and can be waited for."""
    desk = Desk()
    desk.go.clear()
    requests = Requests(desk, desk, desk)
    asking = asyncio.create_task(requests.answer("u", Cancel("r")))
    await so(lambda: bool(desk.asked))
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    finishing = asyncio.create_task(requests.finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    desk.go.set()
    await finishing
    assert desk.asked[-1] == "done"
    await requests.finish()


@asynchronous
async def _failing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(RuntimeError("on purpose"))
    desk.go.clear()
    requests = Requests(desk, desk, desk)
    asking = asyncio.create_task(requests.answer("u", Cancel("r")))
    await so(lambda: bool(desk.asked))
    asking.cancel()
    await asyncio.wait([asking])
    desk.go.set()
    await requests.finish()
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == [
        "a request failed after its client had left"
    ]


def test_a_failure_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Once, with its traceback."""
    _failing(caplog)
    assert caplog.records[0].exc_info is not None


def test_an_unexpected_error_comes_through() -> None:
    """It is for the server to say what becomes of the connection."""
    desk = Desk(RuntimeError("on purpose"))
    with pytest.raises(RuntimeError, match="on purpose"):
        asyncio.run(Requests(desk, desk, desk).answer("u", Cancel("r")))
