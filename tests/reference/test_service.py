"""What serves clients in one process, be it the kernel's own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from labkit.errors import ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.config import ServiceConfig
from labkit.reference.parts import Parts
from labkit.reference.service import KernelService, serving
from labkit.reference.wire.tokens import Tokens
from labkit.services.endpoints import Lease
from labkit.targets.notifications import Door
from labkit.witness import Witness
from tests.reference.stage import asynchronous

KEY = Secret("a key for tokens that is long enough to sign with")


def config(lease: Lease) -> ServiceConfig:
    """What a process is told."""
    return ServiceConfig("labkit.reference:Platform", lease, KEY)


async def health(door: Door) -> dict[str, object]:
    """What the server behind a door says of itself, over plain HTTP."""
    reader, writer = await asyncio.open_connection(door.host, door.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    value: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return value


@asynchronous
async def test_all_that_a_process_needs_works_once_it_listens(installed: Lease) -> None:
    """Database and Redis answer, and its relay stands ready or soon does."""
    async with serving(config(installed), Parts()) as door:
        async with asyncio.timeout(15):
            while (report := await health(door))["status"] != "ok":
                pass
    assert report["database"] is report["redis"] is True
    assert report["connections"] == report["runs"] == 0


@asynchronous
async def test_what_served_leaves_nothing(installed: Lease) -> None:
    """No task, no door, no connection to the database."""
    async with Witness(installed) as looking:
        async with serving(config(installed), Parts()) as door:
            await health(door)
            backends = await looking.backends(installed.platform_role)
        assert backends
        assert all([await looking.gone(backend.pid) for backend in backends])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ConnectionRefusedError):
            await health(door)


@asynchronous
async def test_a_replaced_part_serves(installed: Lease) -> None:
    """The part that was asked for is the one that is made."""
    made = []

    class Other(Tokens):
        """Other tokens."""

        def __init__(self, key: Secret) -> None:
            super().__init__(key)
            made.append(key)

    async with serving(config(installed), replace(Parts(), tokens=Other)):
        assert made == [KEY]


@asynchronous
async def test_where_redis_does_not_answer_nothing_serves(installed: Lease) -> None:
    """The reason is told at once, and nothing is left."""
    nowhere = replace(installed, redis_url=Secret("redis://127.0.0.1:1/0"))
    with pytest.raises(ServiceUnavailable, match="cannot reach Redis"):
        async with serving(config(nowhere), Parts()):
            raise AssertionError("it cannot serve")
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_the_kernel_serves_from_the_first_need_on_and_once(installed: Lease) -> None:
    """Many needs at the same time get one door; closing it closes the door."""
    service = KernelService(config(installed), Parts())
    first, *others = await asyncio.gather(*(service.doors() for _ in range(5)))
    assert all(doors == first for doors in others)
    await health(first[0])
    await service.close()
    with pytest.raises(ConnectionRefusedError):
        await health(first[0])
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_a_kernel_that_cannot_serve_says_so_to_everyone_who_asks(installed: Lease) -> None:
    """The error is the same at each need, and closing is harmless."""
    nowhere = replace(installed, redis_url=Secret("redis://127.0.0.1:1/0"))
    service = KernelService(config(nowhere), Parts())
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="cannot reach Redis"):
            await service.doors()
    await service.close()


@asynchronous
async def test_a_kernel_that_nobody_asked_serves_nothing(installed: Lease) -> None:
    """Closing is all that happens."""
    await KernelService(config(installed), Parts()).close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
