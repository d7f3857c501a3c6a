"""The server lets in who shows a token, answers each message, and tells users their own alone."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from socket import IPPROTO_TCP, TCP_NODELAY

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.data.contexts import LONGEST_USER
from labkit.reference.parts import Parts
from labkit.reference.routing.intake import LONGEST_NAME
from labkit.reference.serving.server import Server
from labkit.reference.wire.frames import Authenticate, Cancel, Quality, Submit, text_of
from labkit.reference.wire.tokens import Tokens
from labkit.services.endpoints import Lease
from labkit.targets.notifications import NoticeKind
from tests.reference.site import KEY, close_of, seqs, site
from tests.reference.stage import asynchronous
from tests.reference.works import until


@asynchronous
async def test_small_frames_leave_at_once(installed: Lease) -> None:
    """None waits until its client has acknowledged the one before."""
    at_once: list[int] = []

    class Watched(Server):
        async def _handle(self, connection: ServerConnection) -> None:
            opened = connection.transport.get_extra_info("socket")
            at_once.append(opened.getsockopt(IPPROTO_TCP, TCP_NODELAY))
            await super()._handle(connection)

    async with site(installed, parts=Parts(server=Watched)) as place:
        user, _ = await place.user()
        async with place.client(user):
            assert all(at_once)
    assert len(at_once) == 1


@asynchronous
async def test_a_message_is_accepted_and_its_run_told(installed: Lease) -> None:
    """From the first event to the end, each once, under the user's own ids."""
    async with site(installed) as place:
        user, thread = await place.user()
        async with place.client(user) as client:
            run = await client.submit(thread, "lookup the weather", "m1")
            events = await client.events(run)
            assert seqs(events) == list(range(6))
            assert {(e.user, e.thread, e.run, e.request) for e in events} == {
                (user, thread, run, "m1")
            }
            assert events[-1].type.is_end


@asynchronous
async def test_a_message_that_is_sent_twice_is_executed_once(installed: Lease) -> None:
    """The second time it is accepted as what it is."""
    async with site(installed) as place:
        user, thread = await place.user()
        async with place.client(user) as client:
            run = await client.submit(thread, "hello", "m1")
            await client.events(run)
            await client.send(Submit("m1", thread, "hello"))
            again = await client.notice(NoticeKind.ACCEPTED)
            assert (again.run, again.data["is_new"]) == (run, False)


@asynchronous
async def test_what_is_refused_is_answered_with_the_reason(installed: Lease) -> None:
    """An empty text, another's thread, another's run, a quality payload of no known type."""
    async with site(installed) as place:
        user, thread = await place.user()
        _, foreign = await place.user()
        async with place.client(user) as client:
            for frame, error in (
                (Submit("m1", thread, " "), "rejected"),
                (Submit("m2", foreign, "hello"), "denied"),
                (Cancel("execution_none"), "denied"),
                (Quality("q1", {"type": "gossip"}), "rejected"),
            ):
                await client.send(frame)
                refused = await client.notice(NoticeKind.REFUSED)
                assert refused.data == {"error": error}
                assert refused.reason
                assert refused.message == getattr(frame, "message", None)
                assert refused.run == getattr(frame, "run", None)


@asynchronous
async def test_quality_is_routed_and_told(installed: Lease) -> None:
    """To the user's own connections, as an event of no run."""
    async with site(installed, servers=2) as place:
        user, _ = await place.user()
        alert: dict[str, JsonValue] = {
            "type": "alert",
            "metric": "m",
            "value": 2,
            "threshold": 1,
            "severity": "high",
        }
        async with place.client(user) as client, place.client(user, door=1) as other:
            await client.send(Quality("q1", alert))
            routed = await client.notice(NoticeKind.ROUTED)
            assert (routed.message, routed.reason) == ("q1", "alert")
            event = await other.next()
            assert getattr(event, "data", None) == alert


@asynchronous
async def test_every_server_serves_every_user(installed: Lease) -> None:
    """Two servers, three users with a connection to each: all get their own, and nothing else."""
    async with site(installed, servers=2) as place:
        people = [await place.user() for _ in range(3)]

        async def talk(user: str, thread: str) -> None:
            async with place.client(user) as one, place.client(user, door=1) as other:
                run = await one.submit(thread, "lookup the weather")
                events = await one.events(run)
                assert await other.events(run) == events
                assert {event.user for event in events} == {user}
                assert len(one.told) == len(events) + 2
                assert len(other.told) == len(events) + 1

        async with asyncio.TaskGroup() as group:
            for user, thread in people:
                group.create_task(talk(user, thread))


@asynchronous
async def test_a_token_comes_in_the_header_or_in_the_first_frame(installed: Lease) -> None:
    """Either way the client is welcomed under its connection's own id."""
    async with site(installed) as place:
        user, _ = await place.user()
        async with place.client(user) as client, place.socket() as socket:
            await socket.send(text_of(Authenticate(Secret(place.token(user)))))
            welcome = json.loads(await socket.recv())
            assert welcome["type"] == "welcome"
            assert {client.id, welcome["connection"]} - {None, ""} != {client.id}


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", "\n"])
@asynchronous
async def test_whoever_can_be_registered_can_log_in(installed: Lease, character: str) -> None:
    """Either way, and with the longest id, however many bytes it takes in a token."""
    user = character * LONGEST_USER
    async with site(installed) as place:
        await place.data.create_user(user)
        thread = await place.data.create_thread(user, "a thread")
        async with place.client(user) as client, place.socket() as socket:
            await socket.send(text_of(Authenticate(Secret(place.token(user)))))
            assert json.loads(await socket.recv())["type"] == "welcome"
            events = await client.events(await client.submit(thread, "hello", "m" * LONGEST_NAME))
            assert {event.user for event in events} == {user}


@asynchronous
async def test_whoever_shows_no_good_token_is_closed_with_1008(installed: Lease) -> None:
    """And is told why."""
    async with site(installed) as place:
        user, thread = await place.user()
        good = place.token(user)
        forged = Tokens(Secret("x" * 32)).issue(user, 60).reveal()
        expired = Tokens(KEY).issue(user, -1).reveal()
        for headers, frame, reason in (
            ({"Authorization": "Bearer nonsense"}, None, "the token is not valid"),
            ({"Authorization": f"Bearer {forged}"}, None, "the token is not valid"),
            ({"Authorization": f"Bearer {expired}"}, None, "the token has expired"),
            ({"Authorization": f"Basic {good}"}, None, "one Authorization header"),
            ({"Authorization": ""}, None, "one Authorization header"),
            ({}, text_of(Authenticate(Secret(forged))), "the token is not valid"),
            ({}, text_of(Submit("m", thread, "hello")), "the first frame must show a token"),
            ({}, "[]", "must be a JSON object"),
            (place.headers(user), text_of(Authenticate(Secret(good))), "has its user already"),
        ):
            async with place.socket(headers) as socket:
                if frame:
                    await socket.send(frame)
                code, said = await close_of(socket)
                assert code == 1008, headers
                assert reason in said


@asynchronous
async def test_a_token_in_the_address_is_not_looked_at(installed: Lease) -> None:
    """There is nothing but `/` and `/health`."""
    async with site(installed) as place:
        user, _ = await place.user()
        where = place.doors[0]
        for path in (f"/?token={place.token(user)}", "/other", "//"):
            with pytest.raises(InvalidStatus, match="404"):
                await connect(f"ws://{where.host}:{where.port}{path}", proxy=None)


@asynchronous
async def test_the_health_answer_tells_of_each_part(installed: Lease) -> None:
    """Connections and runs are counted; a leader is one of all relays."""
    async with site(installed) as place:
        user, _ = await place.user()

        async def leads() -> tuple[str, dict[str, object]] | None:
            head, report = await place.health()
            is_ready = (report["status"], report["relay"]) == ("ok", "leads")
            return (head, report) if is_ready else None

        async with place.client(user):
            head, report = await until(leads)
            assert head == "HTTP/1.1 200 OK"
            assert report == {
                "status": "ok",
                "connections": 1,
                "runs": 0,
                "relay": "leads",
                "database": True,
                "redis": True,
            }


@asynchronous
async def test_a_server_that_stops_says_that_it_goes_away(installed: Lease) -> None:
    """To each client, also to one that is not logged in."""
    async with AsyncExitStack() as clients:
        async with site(installed) as stopped:
            user, _ = await stopped.user()
            welcomed = [
                await clients.enter_async_context(stopped.socket(stopped.headers(user)))
                for _ in range(3)
            ]
            for socket in welcomed:
                await socket.recv()
            unknown = await clients.enter_async_context(stopped.socket())
        assert [await close_of(socket) for socket in welcomed] == [(1001, "going away")] * 3
        assert (await close_of(unknown))[0] in {1001, 1008}
