"""What is installed: the locks, and the wheel with all that it needs at run time."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

import labkit

ROOT: Final = Path(__file__).parent.parent
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS: Final = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-lab.txt",
    "requirements-benchmarks.txt",
)
BROUGHT: Final = {
    "labkit": "labkit",
    "notebooks": "labkit/project_files/notebooks",
    "params": "labkit/project_files/params",
}
"""The folders whose files are installed, and where."""

_PIN: Final = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+))?")
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def _lock(name: str) -> dict[str, str]:
    """The locked packages, each with its version and marker; anything else in the file fails."""
    pins: dict[str, str] = {}
    text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        pin, *hashes = re.split(r"\s+(?=--hash)", line.strip())
        found = _PIN.fullmatch(pin)
        assert found, f"{name}: {pin!r} is no pinned package"
        assert hashes, f"{name}: {pin!r} has no hash"
        assert all(_HASH.fullmatch(one) for one in hashes), f"{name}: {line!r}"
        pins[found["name"]] = pin
    return pins


def _names(requirements: list[Any]) -> set[str]:
    """The names of the packages that are asked for; a group within is taken apart."""
    groups = [one["include-group"] for one in requirements if isinstance(one, dict)]
    texts = [one for one in requirements if isinstance(one, str)]
    inside = [_names(PROJECT["dependency-groups"][group]) for group in groups]
    return {re.split(r"[^\w-]", text)[0] for text in texts}.union(*inside)


def _asked_for(lock: str) -> set[str]:
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    further = {
        "requirements.txt": groups["build"],
        "requirements-dev.txt": groups["dev"],
        "requirements-lab.txt": groups["build"] + project["optional-dependencies"]["lab"],
        "requirements-benchmarks.txt": groups["benchmarks"],
    }
    return _names(project["dependencies"] + further[lock])


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_all_that_is_asked_for_with_hashes(lock: str) -> None:
    """Every direct dependency is pinned, and every line is a package with its hashes."""
    assert _asked_for(lock) - set(_lock(lock)) == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place(lock: str) -> None:
    """No registry, address, path or option of an installer: where to get it is the user's."""
    text = (ROOT / lock).read_text("utf-8")
    assert re.findall(r"://|file:|@|^-.*|index-url|find-links", text, re.MULTILINE) == []


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_the_locks_agree(lock: str) -> None:
    """The tests and JupyterLab see the same versions as the lab that was set up to run."""
    more = {name: pin.partition(" ;")[0] for name, pin in _lock(lock).items()}
    for name, pin in _lock(LOCKS[0]).items():
        assert more[name] == pin.partition(" ;")[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_keeps_what_older_pythons_need(lock: str) -> None:
    """The Redis driver needs one package more below CPython 3.11.3, and only there."""
    assert "python_full_version < '3.11.3'" in _lock(lock)["async-timeout"]


def test_the_version_is_one() -> None:
    """What the package says of itself is what is installed."""
    assert labkit.__version__ == PROJECT["project"]["version"]


def test_a_python_that_is_too_old_is_refused() -> None:
    """Every supported version is named, and the oldest is the bound that installers read."""
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_that_is_read_at_run_time(wheel: Path) -> None:
    """Whatever lies in the package, notebooks and parameters is in the wheel, and no test is."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in BROUGHT.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
    }
    assert names == expected
    assert {"labkit/py.typed", "labkit/reference/data/schema.sql"} <= names


def test_a_project_can_be_laid_out_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    """`labkit init` of an installed wheel needs no checkout, and `labkit list` reads the result."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    def installed(*arguments: str, folder: Path) -> str:
        return subprocess.run(
            [sys.executable, "-m", "labkit", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    installed("init", "mine", folder=tmp_path)
    listed = installed("list", folder=tmp_path / "mine")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert notebook.stem in listed
