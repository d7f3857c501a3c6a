"""The places of notebooks: a lease each, from a template for each target."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from labkit.batch.bench import MOST_TEMPLATES, Bench
from labkit.batch.kernels import KernelPlace
from labkit.batch.plan import Job, make_plan
from labkit.batch.recorder import Recorder
from labkit.errors import ServiceUnavailable
from labkit.ids import RunID
from labkit.journal import Entry, Journal, LeaseNote
from labkit.records import ServiceVersion
from labkit.redaction import Secret
from labkit.reference.sabotage.catalogue import SABOTAGES
from labkit.services import handover
from labkit.services.endpoints import Origin, Server, Services
from labkit.services.handover import Handover
from labkit.services.leases import LeaseHolder
from tests.batch.runs import notebook, passing, things_on


@asynccontextmanager
async def bench_on(
    services: Services,
    root: Path,
    told: list[Entry],
    planned: Sequence[Job],
    *,
    ahead_s: float = 60.0,
) -> AsyncIterator[Bench]:
    """A bench for these jobs with a folder, whose entries can be looked at."""
    with (root / "journal.ndjson").open("a", encoding="utf-8") as file:
        recorder = Recorder(Journal(file), told.append)
        async with LeaseHolder(services) as holder:
            bench = Bench(
                holder,
                recorder,
                jobs=planned,
                folder=root,
                environment={},
                working_folder=root,
                ahead_s=ahead_s,
            )
            async with bench:
                yield bench


def jobs(root: Path, target: str, *names: str, deadline_s: float = 60.0) -> Sequence[Job]:
    """A job for each name, all with the same target."""
    paths = [notebook(root / f"{name}.ipynb", passing("holds")) for name in names]
    return make_plan(
        None,
        [str(path) for path in paths],
        run=RunID.new(),
        environment="test",
        deadline_s=deadline_s,
        texts=[("target", target)],
    ).jobs


def handed_over(place: KernelPlace) -> Handover:
    """What a kernel at the place would be given, which nobody else can read."""
    file = Path(place.environment[handover.VARIABLE])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    return handover.read_handover(file)


def test_each_notebook_gets_a_lease_with_the_schema_in_it(
    tmp_path: Path, own_services: Services
) -> None:
    """Two jobs have two leases, handed over in private files, and none is left."""
    before = things_on(own_services)
    told: list[Entry] = []

    planned = jobs(tmp_path, "labkit.reference:Platform", "one", "two")

    async def leases() -> AsyncIterator[str]:
        async with bench_on(own_services, tmp_path, told, planned) as bench:
            for job in planned:
                async with bench.place(job) as place:
                    lease = handed_over(place).lease
                    connection = await asyncpg.connect(lease.owner_url.reveal())
                    assert await connection.fetchval("SELECT count(*) FROM threads") == 0
                    await connection.close()
                    yield lease.id

    async def collected() -> list[str]:
        return [lease async for lease in leases()]

    assert len(set(asyncio.run(collected()))) == 2
    assert told == []
    assert things_on(own_services) <= before


def test_who_is_begun_at_once_finds_a_lease_that_is_there(
    tmp_path: Path, services: Services
) -> None:
    """The template and a copy for each are made before; no more than that is held then."""
    planned = jobs(tmp_path, "labkit.reference:Platform", "one", "two", "three")

    async def take() -> None:
        async with bench_on(services, tmp_path, [], planned) as bench:
            await bench.prepare(planned[:2])
            made = set(bench._holder._marks)
            assert len(made) == 3
            async with bench.place(planned[0]) as one, bench.place(planned[1]) as two:
                assert {handed_over(place).lease.id for place in (one, two)} < made

    asyncio.run(take())


def test_a_schema_that_takes_long_holds_up_its_own_notebooks_alone(
    tmp_path: Path, own_services: Services
) -> None:
    """The others are begun meanwhile; nothing of it is left."""
    before = things_on(own_services)
    slow = jobs(tmp_path, "tests.batch.targets:Endless", "slow", "slower")
    quick = jobs(tmp_path, "labkit.reference:Platform", "one", "two")

    async def take() -> None:
        async with bench_on(own_services, tmp_path, [], [*slow, *quick], ahead_s=0.1) as bench:
            await bench.prepare([*slow, *quick])
            async with bench.place(quick[0]) as one, bench.place(quick[1]) as two:
                assert handed_over(one).lease.id != handed_over(two).lease.id
                assert not bench._templates["tests.batch.targets:Endless"].done()

    asyncio.run(take())
    assert things_on(own_services) <= before


def test_a_server_that_is_gone_is_told_to_who_asks_for_a_place(tmp_path: Path) -> None:
    """Preparing for a notebook is no place to fail: its own outcome says what was missing."""
    planned = jobs(tmp_path, "labkit.reference:Platform", "one", "two")
    url = Secret("postgresql://nobody@127.0.0.1:1/nowhere")
    version = ServiceVersion("postgres", "PostgreSQL", "18.4", Origin.GIVEN)
    gone = Services(Server(url, version), Server(Secret("redis://127.0.0.1:1/0"), version))

    async def take() -> None:
        async with bench_on(gone, tmp_path, [], planned) as bench:
            await bench.prepare(planned)
            with pytest.raises(ServiceUnavailable, match="nobody listens there"):
                async with bench.place(planned[0]):
                    raise AssertionError("there was no place")

    asyncio.run(take())


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere_to_be_found:Target", "there is no module 'nowhere_to_be_found'"),
        ("tests.batch.targets:Uninstallable", "its install raised ZeroDivisionError"),
        ("tests.batch.targets:Endless", "its install raised TimeoutError"),
        ("tests.batch.targets:Cancelling", "its install raised CancelledError"),
        ("tests.batch.targets:Leaving", "its install raised SystemExit"),
    ],
)
def test_a_target_without_a_template_is_noted_once(
    target: str, why: str, tmp_path: Path, own_services: Services
) -> None:
    """Its notebooks get empty leases, and tell themselves what is wrong."""
    before = things_on(own_services)
    told: list[Entry] = []

    deadline_s = 0.2 if target.endswith(":Endless") else 60.0  # the others end by themselves
    planned = jobs(tmp_path, target, "one", "two", deadline_s=deadline_s)

    async def take() -> None:
        async with bench_on(own_services, tmp_path, told, planned) as bench:
            for job in planned:
                async with bench.place(job) as place:
                    assert place.environment[handover.VARIABLE]

    asyncio.run(take())
    [note] = told
    assert isinstance(note, LeaseNote)
    assert note.text.startswith(f"target {target!r} ")
    assert why in note.text
    assert things_on(own_services) <= before


def test_a_target_of_one_notebook_alone_has_no_template(tmp_path: Path, services: Services) -> None:
    """Its lease is the only one, and is empty: the notebook makes the schema there itself."""
    [job] = jobs(tmp_path, "labkit.reference:Platform", "one")
    tables = "select count(*) from pg_tables where schemaname = 'public'"

    async def take() -> tuple[int, int]:
        async with bench_on(services, tmp_path, [], [job]) as bench, bench.place(job) as place:
            connection = await asyncpg.connect(handed_over(place).lease.owner_url.reveal())
            found = await connection.fetchval(tables)
            await connection.close()
            return found, len(bench._holder._marks)

    assert asyncio.run(take()) == (0, 1)


def test_however_many_targets_there_are_few_templates_are_held(
    tmp_path: Path, own_services: Services
) -> None:
    """Each is a connection for as long as the run goes on, and a server has only so many."""
    targets = [sabotage.target for sabotage in SABOTAGES[:12]]
    planned = [
        job
        for number, target in enumerate(targets)
        for job in jobs(tmp_path, target, f"one-{number}", f"two-{number}")
    ]
    told: list[Entry] = []

    async def take() -> int:
        async with bench_on(own_services, tmp_path, told, planned) as bench:
            for job in planned:
                async with bench.place(job):
                    pass
            await asyncio.gather(*bench._leases._given_back)
            return len(bench._holder._marks)

    assert asyncio.run(take()) == MOST_TEMPLATES
    assert told == []


def test_a_notebook_without_a_target_gets_an_empty_lease(
    tmp_path: Path, services: Services
) -> None:
    """Nothing is loaded for it; the lease's passwords are kept out of the journal."""
    told: list[Entry] = []

    [job] = jobs(tmp_path, "labkit.reference:Platform", "one")
    bare = replace(job, notebook=replace(job.notebook, parameters=()), parameters={})

    async def take() -> str:
        async with (
            bench_on(services, tmp_path, told, [bare]) as bench,
            bench.place(bare) as place,
        ):
            url = handed_over(place).lease.owner_url.reveal()
            bench._recorder.record(LeaseNote(0.0, url))
            return url

    url = asyncio.run(take())
    assert told == [LeaseNote(0.0, "***")]
    assert url not in (tmp_path / "journal.ndjson").read_text()


def test_a_private_folder_that_is_gone_is_infrastructure(
    tmp_path: Path, services: Services
) -> None:
    """Its keeper was killed, which is neither the notebook's fault nor labkit's."""
    [job] = jobs(tmp_path, "labkit.reference:Platform", "one")

    async def take() -> None:
        async with bench_on(services, tmp_path, [], [job]) as bench:
            bench._folder = tmp_path / "gone"
            async with bench.place(job):
                raise AssertionError("there was no place")

    with pytest.raises(ServiceUnavailable, match="private folder is gone: the keeper"):
        asyncio.run(take())
