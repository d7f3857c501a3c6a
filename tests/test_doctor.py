"""What `labkit doctor` finds, on real servers."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from labkit.doctor import GET_JUPYTERLAB, Finding, Patient, State, examine
from labkit.project import find_project
from labkit.services.endpoints import Lease, Services
from tests.command_line import PASSING, labkit, variables, write_project
from tests.services.owners import same_imports

NOTHING_LISTENS = "redis://:hunter2hunter2@127.0.0.1:1/0"


@pytest.fixture
def given(services: Services, tmp_path: Path) -> dict[str, str]:
    """Variables that give the servers of the tests."""
    return variables(
        tmp_path / "cache",
        LABKIT_POSTGRES_URL=services.postgres.url.reveal(),
        LABKIT_REDIS_URL=services.redis.url.reveal(),
    )


def _examined(
    settings: Mapping[str, str],
    root: Path | None = None,
    *,
    environment: str = "test",
    allow_hosts: tuple[str, ...] = (),
) -> dict[str, Finding]:
    patient = Patient(
        variables=settings,
        cache=Path(settings["LABKIT_CACHE_DIR"]),
        allow_hosts=allow_hosts,
        project=find_project(root) if root else None,
        environment=environment,
    )
    return {finding.subject: finding for finding in asyncio.run(examine(patient))}


def test_given_servers_are_named_as_what_they_are(
    given: Mapping[str, str], services: Services
) -> None:
    """Product, version, origin, rights and latency stand there; nothing else was needed."""
    found = _examined(given)
    for subject, server in (("PostgreSQL", services.postgres), ("Redis", services.redis)):
        finding = found[subject]
        assert finding.state is not State.MISSING
        assert finding.told.startswith(f"{server.version.product} {server.version.version}, given")
        assert "round trip" in finding.details[0]
    assert found["project"].state is State.NOTE
    assert all(finding.state is not State.MISSING for finding in found.values())
    start = (
        "to be forked from a warm process" if sys.platform == "linux" else "each started on its own"
    )
    assert found["kernel"].told == f"ipykernel {version('ipykernel')}, {start}"


def test_servers_of_the_labs_own_are_tried(tmp_path: Path) -> None:
    """Their programs, and how soon they answered, are told."""
    found = _examined(variables(tmp_path / "cache"))
    assert "embedded" in found["PostgreSQL"].told
    assert "bin/postgres, first answer in" in found["PostgreSQL"].told
    assert "-server, first answer in" in found["Redis"].told


def test_a_server_that_is_missing_does_not_hide_the_other(given: Mapping[str, str]) -> None:
    """The reason and the way out are told for one, and the other is looked at all the same."""
    found = _examined({**given, "LABKIT_REDIS_URL": NOTHING_LISTENS})
    assert found["Redis"].state is State.MISSING
    assert "127.0.0.1:1" in found["Redis"].told
    assert "nobody listens there" in found["Redis"].told
    assert found["Redis"].details[0].startswith("unset LABKIT_REDIS_URL")
    assert found["PostgreSQL"].state is not State.MISSING


def test_a_right_that_is_missing_is_told(given: Mapping[str, str], lease: Lease) -> None:
    """A role that may make neither database nor role is no use, and what to grant is said."""
    found = _examined({**given, "LABKIT_POSTGRES_URL": lease.platform_url.reveal()})
    assert found["PostgreSQL"].state is State.MISSING
    assert "lacks CREATEDB" in "".join(found["PostgreSQL"].details)


def test_a_far_host_must_be_allowed(given: Mapping[str, str]) -> None:
    """Nothing is asked there before; once it is allowed, it is."""
    far = {**given, "LABKIT_REDIS_URL": "redis://redis.example.invalid:6379"}
    refused = _examined(far)
    assert "--allow-host" in refused["Redis"].told
    assert refused["PostgreSQL"].state is not State.MISSING
    allowed = _examined(far, allow_hosts=("redis.example.invalid",))["Redis"]
    assert allowed.state is State.MISSING
    assert "--allow-host" not in allowed.told


def test_the_environments_parameters_are_held_against_the_notebooks(
    given: Mapping[str, str], tmp_path: Path
) -> None:
    """Unknown names and other types are told all at once; production can be looked at."""
    root = write_project(tmp_path / "project", calm=PASSING)
    (root / "params" / "production.yaml").write_text("environment: production\n")
    assert _examined(given, root, environment="production")["parameters"].state is State.GOOD
    (root / "params" / "test.yaml").write_text("size: many\nsise: 3\n")
    parameters = _examined(given, root)["parameters"]
    assert parameters.state is State.MISSING
    assert len(parameters.details) == 2
    missing = _examined(given, root, environment="moon")["parameters"]
    assert "there is no file of parameters params/moon.yaml" in missing.told


def test_a_notebook_that_cannot_be_read_is_told(given: Mapping[str, str], tmp_path: Path) -> None:
    """It stands at the project, and no parameter is called unknown for it."""
    root = write_project(tmp_path / "project", calm=PASSING)
    (root / "notebooks" / "broken.ipynb").write_text("{")
    (root / "params" / "test.yaml").write_text("perhaps_of_the_broken_one: 3\n")
    found = _examined(given, root)
    assert found["project"].state is State.MISSING
    assert "broken.ipynb" in found["project"].details[0]
    assert found["parameters"].state is State.GOOD


def test_the_way_to_jupyterlab_leads_through_a_file_that_exists() -> None:
    """Whoever works in a clone is sent to its lock, which is there."""
    [lock] = re.findall(r"--require-hashes -r ([\w.-]+)", GET_JUPYTERLAB)
    assert (Path(__file__).parent.parent / lock).is_file()


def test_a_cache_that_cannot_be_written_is_told(given: Mapping[str, str], tmp_path: Path) -> None:
    """The setting that names another is named."""
    (tmp_path / "file").touch(mode=0o700)
    cache = _examined({**given, "LABKIT_CACHE_DIR": str(tmp_path / "file" / "cache")})["cache"]
    assert cache.state is State.MISSING
    assert "LABKIT_CACHE_DIR" in cache.told


UNREADABLE: Final = """
import os, sys
from pathlib import Path
from labkit.doctor import _cache
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(_cache(Path(sys.argv[1])))
"""


def test_a_cache_behind_a_closed_folder_is_told(tmp_path: Path) -> None:
    """Nobody can even see whether it is there."""
    closed = tmp_path / "closed"
    (closed / "cache").mkdir(parents=True)
    closed.chmod(0)
    argv = [sys.executable, "-c", UNREADABLE, str(closed / "cache" / "mine")]
    told = subprocess.run(argv, env=same_imports(), capture_output=True, text=True, check=False)
    assert "cannot be written: name another folder in LABKIT_CACHE_DIR" in told.stdout, told.stderr


def test_doctor_exits_by_what_it_found(given: Mapping[str, str], tmp_path: Path) -> None:
    """0 when nothing is missing, else 3; a password is shown neither way."""
    healthy = labkit("doctor", folder=tmp_path, environment=given)
    assert healthy.returncode == 0, healthy.stdout
    assert healthy.stdout.splitlines()[-1] == "a run can start"
    looked = labkit("doctor", "--environment", "production", folder=tmp_path, environment=given)
    assert looked.returncode == 0, looked.stdout
    assert "production is only looked at, a run there is refused" in looked.stdout
    assert "a run can start" not in looked.stdout
    ill = {**given, "LABKIT_REDIS_URL": NOTHING_LISTENS}
    ended = labkit("doctor", folder=tmp_path, environment=ill)
    assert ended.returncode == 3
    assert ended.stdout.splitlines()[-1] == "1 thing to be put right before a run"
    assert "hunter2" not in ended.stdout + ended.stderr
