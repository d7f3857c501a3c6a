"""Odd frames, half-open connections and errors cost their own connection, and nobody else's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from labkit.errors import ServiceUnavailable
from labkit.reference.parts import Parts
from labkit.reference.routing.intake import Accepted, Incoming, Intake
from labkit.reference.wire.frames import Submit, text_of
from labkit.services.endpoints import Lease
from labkit.targets.notifications import NoticeKind
from tests.reference.site import QUICK, Site, close_of, end_of, seqs, site
from tests.reference.stage import asynchronous, witness
from tests.reference.works import until


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
    async with (
        site(installed, limits=QUICK) as place,
        undisturbed(place),
        place.socket() as nameless,
    ):
        closed, *_ = await asyncio.gather(
            close_of(nameless),
            end_of(place.doors[0], b""),
            end_of(place.doors[0], b"GET / HTTP/1.1\r\nHost: x\r\nUpgr"),
        )
        assert closed == (1008, "no token within 3 s")


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
