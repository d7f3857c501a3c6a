"""The server's door: who is let in, what is refused, and that nobody is disturbed by others."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from socket import IPPROTO_TCP, TCP_NODELAY

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from labkit.errors import ServiceUnavailable
from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.data.contexts import LONGEST_USER
from labkit.reference.parts import Parts
from labkit.reference.routing.intake import LONGEST_NAME, Accepted, Incoming, Intake
from labkit.reference.serving.connection import ConnectionLimits
from labkit.reference.serving.server import Server
from labkit.reference.wire.frames import Authenticate, Cancel, Quality, Submit, text_of
from labkit.reference.wire.tokens import Tokens
from labkit.services.endpoints import Lease
from labkit.targets.notifications import NoticeKind
from tests.reference.site import KEY, Site, close_of, end_of, seqs, site
from tests.reference.stage import asynchronous, witness
from tests.reference.works import until

QUICK = ConnectionLimits(login_s=0.5, close_s=0.5)


@asynccontextmanager
async def undisturbed(place: Site) -> AsyncIterator[None]:
    """Another user's runs go on during the block, and one more after it; all are told whole."""
    user, thread = await place.user()
    async with place.client(user) as client:
        runs = [await client.submit(thread, "lookup the weather")]
        try:
            yield
        finally:
            runs.append(await client.submit(thread, "lookup the weather"))
            for run in runs:
                events = await client.events(run)
                assert seqs(events) == list(range(len(events)))
                assert len(events) == 6


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
async def test_frames_that_are_not_taken_close_with_their_code(installed: Lease) -> None:
    """Before the login and after it, while another user's run goes on."""
    async with site(installed) as place, undisturbed(place):
        user, _ = await place.user()
        for headers in ({}, place.headers(user)):
            for frame, code in (
                (b"binary", 1003),
                ("no JSON", 1007),
                ("{'a': 1}", 1007),
                ("x" * 10_000_000, 1009),
            ):
                async with place.socket(headers) as socket:
                    await socket.send(frame)
                    assert (await close_of(socket))[0] == code
            async with place.socket(headers) as socket:
                await socket.send(b"\xff\xfe", text=True)
                assert (await close_of(socket))[0] == 1007


@asynchronous
async def test_json_that_is_no_frame_is_refused_and_the_connection_goes_on(
    installed: Lease,
) -> None:
    """A thousand times, and then a message is answered."""
    async with site(installed) as place:
        user, thread = await place.user()
        async with place.client(user) as client:

            async def send() -> None:
                for number in range(1_000):
                    await client.socket.send(f'{{"type": "nothing", "id": "m{number}"}}')

            sending = asyncio.create_task(send())
            for number in range(1_000):
                assert (await client.notice(NoticeKind.REFUSED)).message == f"m{number}"
            await sending
            assert await client.events(await client.submit(thread, "hello"))


@asynchronous
async def test_random_bytes_do_not_disturb_the_server(installed: Lease) -> None:
    """On the port itself, and as frames."""
    seeded = random.Random(7)
    async with site(installed, limits=QUICK) as place, undisturbed(place):
        await asyncio.gather(
            *(end_of(place.doors[0], seeded.randbytes(300)) for _ in range(20)),
            *(end_of(place.doors[0], seeded.randbytes(40_000)) for _ in range(5)),
        )
        user, _ = await place.user()
        for _ in range(20):
            async with place.socket(place.headers(user)) as socket:
                await socket.send(seeded.randbytes(100))
                assert (await close_of(socket))[0] == 1003
        async with place.socket(place.headers(user)) as socket:
            socket.transport.write(seeded.randbytes(5_000))
            await close_of(socket)


@asynchronous
async def test_half_open_connections_are_closed_in_time(installed: Lease) -> None:
    """One that never says a word, one that stops in its request, one that shows no token."""
    async with site(installed, limits=QUICK) as place, undisturbed(place):
        await asyncio.gather(
            end_of(place.doors[0], b""),
            end_of(place.doors[0], b"GET / HTTP/1.1\r\nHost: x\r\nUpgr"),
        )
        async with place.socket() as socket:
            assert await close_of(socket) == (1008, "no token within 0.5 s")


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

        async def leads() -> dict[str, object] | None:
            _, report = await place.health()
            return report if report["relay"] == "leads" else None

        async with place.client(user):
            assert await until(leads) == {
                "status": "ok",
                "connections": 1,
                "runs": 0,
                "relay": "leads",
                "database": True,
                "redis": True,
            }
            assert (await place.health())[0] == "HTTP/1.1 200 OK"


@asynchronous
async def test_a_server_that_stops_says_that_it_goes_away(installed: Lease) -> None:
    """To each client, also to one that is not logged in."""
    async with AsyncExitStack() as clients:
        async with site(installed, limits=QUICK) as stopped:
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


class Lost(Intake):
    """It loses its connection to the database in the midst of a message."""

    async def accept(self, incoming: Incoming) -> Accepted:
        """Have the connection's own backend ended."""
        async with self._store.transaction(incoming.user) as transaction:
            await transaction.fetch("select pg_terminate_backend(pg_backend_pid())")
        return await super().accept(incoming)


@asynchronous
async def test_a_lost_database_connection_is_told_with_1013(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no error of the server's: the client may try again."""
    async with site(installed, parts=Parts(intake=Lost)) as place:
        user, thread = await place.user()
        async with place.socket(place.headers(user)) as socket:
            await socket.send(text_of(Submit("m", thread, "hello")))
            assert (await close_of(socket))[0] == 1013
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


class Broken(Intake):
    """An intake that fails in ways that nobody expects."""

    async def accept(self, incoming: Incoming) -> Accepted:
        """Fail on purpose, or accept."""
        if incoming.text == "break":
            raise RuntimeError("the text was: break")
        if incoming.text == "overload":
            raise ServiceUnavailable("no connection was free")
        return await super().accept(incoming)


@asynchronous
async def test_an_unexpected_error_closes_its_own_connection_alone(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """With 1011, and with 1013 when it is overload; what was unexpected is logged."""
    async with site(installed, parts=Parts(intake=Broken)) as place, undisturbed(place):
        user, thread = await place.user()
        for text, code in (("break", 1011), ("overload", 1013)):
            async with place.socket(place.headers(user)) as socket:
                await socket.send(text_of(Submit(text, thread, text)))
                assert (await close_of(socket))[0] == code
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in errors] == ["serving a client failed"]
    assert errors[0].exc_info is not None


@asynchronous
async def test_a_message_is_carried_through_when_its_client_is_gone(installed: Lease) -> None:
    """Each of many messages whose clients are cut off at once is executed, or nothing is left."""
    async with site(installed) as place, witness(installed) as owner:
        user, thread = await place.user()
        for number in range(20):
            async with place.socket(place.headers(user)) as socket:
                await socket.recv()
                await socket.send(text_of(Submit(f"m{number}", thread, "hello")))
                for _ in range(number):
                    await asyncio.sleep(0)
                socket.transport.abort()

        async def all_ended() -> bool | None:
            states = await owner.fetch("select status from executions where user_id = $1", user)
            return {state for (state,) in states} == {"completed"} or None

        await until(all_ended)


@asynchronous
async def test_no_token_and_no_text_is_logged(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """However the client behaves, and whatever is let into the log."""
    caplog.set_level("DEBUG")
    async with site(installed) as place:
        user, thread = await place.user()
        async with place.client(user) as client:
            await client.events(await client.submit(thread, "lookup private-words"))
            await client.send(Submit("private-words", thread, "private-words " * 9_000))
            await client.notice(NoticeKind.REFUSED)
        for headers, frame in (
            ({"Authorization": "Bearer private-words"}, "private-words"),
            (place.headers(user), '{"type": "private-words"}'),
            (place.headers(user), "private-words"),
        ):
            async with place.socket(headers) as socket:
                with suppress(ConnectionClosed):
                    await socket.send(frame)
        token = place.token(user).partition(".")[2]
        written = [record for record in caplog.records if record.name.startswith("labkit")]
        assert written
        for record in written:
            assert "private-words" not in str(record.__dict__)
            assert token not in str(record.__dict__)
