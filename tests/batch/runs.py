"""Real runs for tests: notebooks made of a few cells, the batch, and what is left afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nbformat import NotebookNode

from labkit.batch.environments import environment_without_services
from labkit.batch.plan import Plan, make_plan
from labkit.batch.run import RunSettings, run_plan
from labkit.ids import RunID
from labkit.journal import Entry
from labkit.records import CheckStarted, Record
from labkit.reports.read import read_run
from labkit.reports.results import NotebookResult, RunResult
from labkit.services.connect import postgres_session, redis_session
from labkit.services.endpoints import Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.urls import PostgresUrl, RedisUrl
from labkit.warm.owner import WarmProcess, warming_up
from tests.notebook_files import code, write

GRACE_S: Final = 2.0
"""How long kernels may take to give way: longer than a check that blocks has to tidy up."""

DEADLINE_S: Final = 180.0
"""How long a run in a process of its own may take."""

SECRET: Final = "sesame-opens-8841"
"""What the environment of a run may hold as a secret."""

HOLDS: Final = 'check.equal(1, 1, "one", reason="not-one")'
"""The body of a check that passes."""

AWAITS: Final = "import asyncio\nawait asyncio.sleep(300)"
BLOCKS: Final = "import time\ntime.sleep(300)"
SPOILS: Final = """
from contextlib import suppress
from pathlib import Path
[output] = Path("outputs").glob("run_*/spoils.ipynb")
while not output.is_dir():
    with suppress(FileExistsError):  # it was saved in between
        output.unlink()
        output.mkdir()
"""
"""Puts a folder in the place of the notebook `spoils`, which then cannot be written."""

OPEN: Final = code(
    'from labkit.lab import Lab\nlab = await Lab.open("area", target=target, check_deadline_s=20.0)'
)
CLOSE: Final = code("await lab.close()")
PARAMETERS: Final = code(
    'environment: str = "test"\ntarget: str = "labkit.reference:Platform"\nsize: int = 1',
    "parameters",
)


def check(
    name: str, body: str, *, deadline_s: float | None = None, tags: Sequence[str] = ()
) -> NotebookNode:
    """A cell that holds one check with this body."""
    deadline = "" if deadline_s is None else f", deadline_s={deadline_s}"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return code(f'async with lab.check("{name}", "A claim"{deadline}) as check:\n{lines}', *tags)


def passing(name: str) -> NotebookNode:
    """A cell with a check that passes."""
    return check(name, HOLDS)


def failing(name: str) -> NotebookNode:
    """A cell with a check that fails."""
    return check(name, 'check.equal(1, 2, "one", reason="not-two")')


def notebook(path: Path, *cells: NotebookNode, closed: bool = True) -> Path:
    """A notebook that opens its lab, has these cells, and closes it."""
    return write(path, PARAMETERS, OPEN, *cells, *([CLOSE] if closed else []))


@dataclass(frozen=True)
class Ran:
    """A run that is over."""

    folder: Path
    result: RunResult

    def notebook(self, name: str) -> NotebookResult:
        """What the run says of one notebook."""
        return next(one for one in self.result.notebooks if one.name == name)

    def files_with(self, value: str) -> list[str]:
        """The names of the run's files in which a text stands as it is."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return [path.name for path in paths if value.encode() in path.read_bytes()]


def reported(root: Path) -> Ran:
    """What the run left in its folder."""
    [folder] = (root / "outputs").glob("run_*")
    return Ran(folder, read_run(folder))


def has_written(root: Path, *words: str) -> bool:
    """Whether a line of the run's journal holds all these words."""
    journals = list((root / "outputs").glob("run_*/journal.ndjson"))
    lines = [line for path in journals for line in path.read_text().splitlines()]
    return any(all(word in line for word in words) for line in lines)


def outcomes(result: NotebookResult) -> dict[str, str]:
    """Outcome and reason of each check."""
    return {one.name: f"{one.outcome} {one.reason}".strip() for one in result.checks}


def never(*names: str) -> dict[str, str]:
    """The outcomes of checks that were not reached."""
    return dict.fromkeys(names, "unknown never-ran")


def problems(result: NotebookResult) -> list[str]:
    """Outcome and reason of what else is wrong with a notebook."""
    return [f"{one.outcome} {one.reason}" for one in result.problems]


def variables(services: Services, **more: str) -> dict[str, str]:
    """The variables of a process that is given these servers, and imports from where tests do."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("LABKIT_")}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        POSTGRES_URL: services.postgres.url.reveal(),
        REDIS_URL: services.redis.url.reveal(),
        **more,
    }


def run(
    root: Path,
    *paths: Path,
    environment: Mapping[str, str],
    deadline_s: float = 60.0,
    texts: tuple[tuple[str, str], ...] = (),
    workers: int = 1,
    cold: bool = False,
) -> Ran:
    """Run notebooks in this process, with `root` for their outputs."""
    plan = planned(*paths, deadline_s=deadline_s, texts=texts)
    return run_planned(root, plan, environment=environment, workers=workers, cold=cold)


def planned(
    *paths: Path, deadline_s: float = 60.0, texts: tuple[tuple[str, str], ...] = ()
) -> Plan:
    """The plan of a run of these notebooks."""
    return make_plan(
        None,
        [str(path) for path in paths],
        run=RunID.new(),
        environment="test",
        deadline_s=deadline_s,
        texts=texts,
    )


def run_planned(
    root: Path,
    plan: Plan,
    *,
    environment: Mapping[str, str],
    workers: int = 1,
    fail_fast: bool = False,
    cold: bool = False,
    make_executor: Callable[[int], Executor] = ThreadPoolExecutor,
) -> Ran:
    """Run a plan in this process, with `root` for its outputs."""
    settings = RunSettings(
        output_root=root / "outputs",
        environment=environment,
        cache=root / "cache",
        allow_hosts=(),
        working_folder=root,
        grace_s=GRACE_S,
        workers=workers,
        fail_fast=fail_fast,
    )
    with nullcontext() if cold else _warming_up(environment, root) as warm:
        running = run_plan(plan, settings, _ignore, warm=warm, make_executor=make_executor)
        return Ran(*asyncio.run(running))


def _warming_up(
    environment: Mapping[str, str], root: Path
) -> AbstractContextManager[WarmProcess | None]:
    own = environment_without_services(environment)
    return warming_up(environment=own, working_folder=root)


def _ignore(_entry: Entry) -> None: ...


class Nobody:
    """Hears nothing."""

    def heard(self, record: Record) -> None:
        """Takes no notice."""

    def killed(self, check: CheckStarted) -> None:
        """Takes no notice."""


def things_on(services: Services) -> frozenset[str]:
    """Everything of a lease that the servers hold: databases, roles, users and keys."""
    return asyncio.run(_things_on(services))


async def _things_on(services: Services) -> frozenset[str]:
    postgres = PostgresUrl.parse(services.postgres.url.reveal())
    async with postgres_session(postgres, doing="look for leases") as session:
        rows = await session.fetch(
            "SELECT datname FROM pg_database WHERE datname LIKE 'labkit%'"
            " UNION SELECT rolname FROM pg_roles WHERE rolname LIKE 'labkit%'"
        )
    redis = RedisUrl.parse(services.redis.url.reveal())
    async with redis_session(redis, doing="look for leases") as own:
        users = [str(user) for user in await own.command("ACL", "USERS")]
        keys = [str(key) for key in await own.command("KEYS", "labkit*")]
    return frozenset({*(row[0] for row in rows), *filter(_is_ours, users), *keys})


def _is_ours(user: str) -> bool:
    return "labkit" in user
