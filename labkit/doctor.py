"""What a run would find on this machine: its services, what executes notebooks, the project.

Given servers are only read from. Servers of the lab's own are started for a moment and are gone
before the answer is there.
"""

from __future__ import annotations

import asyncio
import enum
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from papermill.engines import papermill_engines
from papermill.exceptions import PapermillException

from labkit.errors import LabError, NotebookError, ParameterError
from labkit.notebook import NotebookSource, read_notebook
from labkit.parameters import Given, Letter, read_file
from labkit.project import Project
from labkit.reports.texts import counted, duration
from labkit.services.binaries import Programs, find_postgres, find_redis
from labkit.services.embedded import embedded_postgres, embedded_redis
from labkit.services.endpoints import Origin
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.open import standing_servers
from labkit.services.probe import Probe, probe_postgres, probe_redis
from labkit.services.urls import PostgresUrl, RedisUrl
from labkit.warm.state import can_fork

GET_JUPYTERLAB: Final = (
    "in a clone: pip install --require-hashes -r requirements-lab.txt, else: pip install"
    " 'labkit[lab]'"
)
"""How JupyterLab is installed for this interpreter."""


class State(enum.Enum):
    """What a finding means for a run."""

    GOOD = "good"
    NOTE = "note"
    """A run can start, but a reader should know."""
    MISSING = "missing"
    """No run can start."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    told: str
    """What was found; of what is missing, how to get it."""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patient:
    """What is examined: where a run would start, and what it would be given."""

    variables: Mapping[str, str]
    """The process's environment."""
    cache: Path
    allow_hosts: tuple[str, ...]
    project: Project | None
    environment: str
    """Names the file of parameters."""


async def examine(patient: Patient) -> tuple[Finding, ...]:
    """Everything that a run needs, in the order in which a reader wants it."""
    services = await asyncio.gather(
        _service("PostgreSQL", POSTGRES_URL, patient, _postgres),
        _service("Redis", REDIS_URL, patient, _redis),
    )
    machine = (_python(), _kernel(), _engine(), _cache(patient.cache), _jupyterlab())
    return (*services, *machine, *_project(patient))


_Look = Callable[[Patient], Awaitable[Finding]]


async def _service(subject: str, setting: str, patient: Patient, look: _Look) -> Finding:
    try:
        return await look(patient)
    except LabError as error:
        given = f"unset {setting} to use a server of the lab's own instead"
        other = f"a server of yours can be given by its URL in {setting}"
        advice = given if patient.variables.get(setting) else other
        return Finding(subject, State.MISSING, str(error), (advice,))


async def _postgres(patient: Patient) -> Finding:
    standing = standing_servers(
        _without(patient.variables, REDIS_URL),
        cache=patient.cache,
        allow_hosts=patient.allow_hosts,
    )
    if standing.postgres:
        probe = await probe_postgres(standing.postgres, standing.postgres_origin)
        return _standing("PostgreSQL", probe)
    programs = find_postgres(patient.variables)
    begun = time.monotonic()
    async with embedded_postgres(patient.cache, environment=patient.variables) as server:
        seconds = time.monotonic() - begun
        probe = await probe_postgres(PostgresUrl.parse(server.url.reveal()), Origin.EMBEDDED)
    return _embedded("PostgreSQL", probe, programs, seconds)


async def _redis(patient: Patient) -> Finding:
    standing = standing_servers(
        _without(patient.variables, POSTGRES_URL),
        cache=patient.cache,
        allow_hosts=patient.allow_hosts,
    )
    if standing.redis:
        return _standing("Redis", await probe_redis(standing.redis, standing.redis_origin))
    programs = find_redis(patient.variables)
    begun = time.monotonic()
    async with embedded_redis(environment=patient.variables) as server:
        seconds = time.monotonic() - begun
        probe = await probe_redis(RedisUrl.parse(server.url.reveal()), Origin.EMBEDDED)
    return _embedded("Redis", probe, programs, seconds)


def _without(variables: Mapping[str, str], setting: str) -> dict[str, str]:
    """The variables without the other server's URL, so that one's fault does not hide the other."""
    return {name: value for name, value in variables.items() if name != setting}


def _standing(subject: str, probe: Probe) -> Finding:
    return _probed(subject, probe, f"at {probe.address}")


def _embedded(subject: str, probe: Probe, programs: Programs, seconds: float) -> Finding:
    return _probed(subject, probe, f"{programs.server_path}, first answer in {duration(seconds)}")


def _probed(subject: str, probe: Probe, where: str) -> Finding:
    server = probe.server.version
    state = State.NOTE if probe.notes else State.GOOD
    rights = ", ".join(probe.rights) or "none that a lease needs"
    return Finding(
        subject,
        State.MISSING if probe.faults else state,
        f"{server.product} {server.version}, {server.origin}: {where}",
        (f"rights: {rights}; round trip {probe.latency_ms:.2f} ms", *probe.faults, *probe.notes),
    )


def _python() -> Finding:
    return Finding("Python", State.GOOD, f"{platform.python_version()}, {sys.executable}")


def _kernel() -> Finding:
    try:
        told = f"ipykernel {version('ipykernel')}"
    except PackageNotFoundError:
        return Finding("kernel", State.MISSING, "ipykernel is not installed: pip install ipykernel")
    start = "to be forked from a warm process" if can_fork() else "each started on its own"
    return Finding("kernel", State.GOOD, f"{told}, {start}")


def _engine() -> Finding:
    try:
        papermill_engines.get_engine("labkit")
    except PapermillException:
        text = "its engine labkit is not registered, which only an installed labkit is: pip install"
        return Finding("papermill", State.MISSING, f"{text} labkit")
    return Finding("papermill", State.GOOD, f"{version('papermill')}, with the engine labkit")


def _cache(cache: Path) -> Finding:
    there = next(folder for folder in (cache, *cache.parents) if os.access(folder, os.F_OK))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("cache", State.GOOD, str(cache))
    text = f"{cache} cannot be written: name another folder in LABKIT_CACHE_DIR"
    return Finding("cache", State.MISSING, text)


def _jupyterlab() -> Finding:
    if find_spec("jupyterlab") is None:
        text = f"not installed, and labkit lab alone needs it; {GET_JUPYTERLAB}"
        return Finding("JupyterLab", State.NOTE, text)
    return Finding("JupyterLab", State.GOOD, version("jupyterlab"))


def _project(patient: Patient) -> Iterator[Finding]:
    project = patient.project
    if project is None:
        text = "none here: labkit init DIR lays one out; labkit run PATH runs a single notebook"
        yield Finding("project", State.NOTE, text)
        return
    notebooks, faults = _notebooks(project)
    found = f"{project.root}, {counted(len(notebooks) + len(faults), 'notebook')}"
    state = State.MISSING if faults or not notebooks else State.GOOD
    yield Finding("project", state, found, tuple(faults))
    yield _parameters(project, patient.environment, [] if faults else notebooks)


def _notebooks(project: Project) -> tuple[list[NotebookSource], list[str]]:
    notebooks, faults = [], []
    for path in project.project_notebooks():
        try:
            notebooks.append(read_notebook(path))
        except NotebookError as error:
            faults.append(str(error))
    return notebooks, faults


def _parameters(project: Project, environment: str, notebooks: Sequence[NotebookSource]) -> Finding:
    """The environment's file, and whether its values fit the notebooks, if there are any."""
    file = f"params/{environment}.yaml"
    try:
        given = read_file(project.root / file, Letter.ENVIRONMENT, file)
    except ParameterError as error:
        return Finding("parameters", State.MISSING, str(error))
    faults = tuple(dict.fromkeys(_unfit(given, notebooks)))
    state = State.MISSING if faults else State.GOOD
    return Finding("parameters", state, f"{file}, {counted(len(given), 'value')}", faults)


def _unfit(given: Sequence[Given], notebooks: Sequence[NotebookSource]) -> Iterator[str]:
    declared = [(one, notebook) for notebook in notebooks for one in notebook.parameters]
    names = {parameter.name for parameter, _ in declared}
    for value in given:
        if notebooks and value.name not in names:
            yield str(value.unknown_among(names, [one.path.stem for one in notebooks]))
        for parameter, notebook in declared:
            if parameter.name == value.name:
                try:
                    value.bind(parameter, notebook.path.name)
                except ParameterError as error:
                    yield str(error)
