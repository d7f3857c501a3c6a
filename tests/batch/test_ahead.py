"""Leases are taken before they are asked for, and given back while others work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.batch.ahead import LeasesAhead
from labkit.batch.recorder import Recorder
from labkit.errors import LeaseError
from labkit.journal import Entry, Journal, LeaseNote
from labkit.services.endpoints import Services
from labkit.services.leases import LeaseHolder
from tests.batch.runs import things_on


@asynccontextmanager
async def leases_on(
    services: Services, root: Path, told: list[Entry]
) -> AsyncIterator[tuple[LeaseHolder, LeasesAhead]]:
    """Leases of a holder's, and what is noted of them."""
    with (root / "journal.ndjson").open("a", encoding="utf-8") as file:
        recorder = Recorder(Journal(file), told.append)
        async with LeaseHolder(services) as holder, LeasesAhead(holder, recorder) as leases:
            yield holder, leases


def test_what_is_expected_is_there_when_it_is_asked_for(
    own_services: Services, tmp_path: Path
) -> None:
    """The lease was made before; it is handed out once, and the next is another."""
    before = things_on(own_services)
    told: list[Entry] = []

    async def work() -> None:
        async with leases_on(own_services, tmp_path, told) as (_, leases):
            leases.expect(None)
            await leases.ready(None)
            ready = await asyncio.to_thread(things_on, own_services)
            lease = await leases.take(None)
            assert any(lease.id in thing for thing in ready)
            assert (await leases.take(None)).id != lease.id

    asyncio.run(work())
    assert told == []
    assert things_on(own_services) <= before


def test_several_who_come_at_once_find_one_each(own_services: Services, tmp_path: Path) -> None:
    """As many are made as are expected in all, and nobody who comes then waits for another."""
    told: list[Entry] = []

    async def work() -> None:
        async with leases_on(own_services, tmp_path, told) as (holder, leases):
            leases.expect(None, at_once=2)
            leases.expect(None, at_once=3)
            leases.expect(None)
            await leases.ready(None)
            made = set(holder._marks)
            assert {(await leases.take(None)).id for _ in range(3)} == made

    asyncio.run(work())
    assert told == []


def test_one_that_nobody_came_for_is_given_back(own_services: Services, tmp_path: Path) -> None:
    """Whether it was ready by then or not, nothing of it is left."""
    before = things_on(own_services)
    told: list[Entry] = []

    async def work() -> None:
        async with leases_on(own_services, tmp_path, told) as (_, leases):
            leases.give_back(await leases.take(None))
            leases.expect(None)

    asyncio.run(work())
    assert told == []
    assert things_on(own_services) <= before


def test_one_that_cannot_be_had_is_told_to_who_asks(own_services: Services, tmp_path: Path) -> None:
    """A template that is gone is an error of whoever takes, and a note where nobody does."""
    before = things_on(own_services)
    told: list[Entry] = []

    async def work() -> None:
        async with leases_on(own_services, tmp_path, told) as (holder, leases):
            gone = replace(await holder.take(), id="nowhere")
            leases.expect(gone)
            with pytest.raises(LeaseError):
                await leases.take(gone)
            leases.expect(gone)
            await leases.ready(gone)

    asyncio.run(work())
    [note] = told
    assert isinstance(note, LeaseNote)
    assert "no notebook needed any more could not be taken" in note.text
    assert things_on(own_services) <= before
