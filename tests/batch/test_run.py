"""What a run refuses before it starts anything; how runs end is in the tests of outcomes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest

from labkit.errors import UsageError
from labkit.reports.read import read_run
from labkit.services.endpoints import Services
from tests.batch.runs import HOLDS, SECRET, SPOILS, check, notebook, passing, run, variables
from tests.command_line import COMMAND, DEADLINE_S, PASSING, write_project


@pytest.mark.parametrize(
    ("source", "texts", "told"),
    [
        (HOLDS, (("sise", "2"),), "'sise' from -p is declared by no notebook"),
        (HOLDS, (("size", "two"),), "size must be int"),
        ("this is no Python", (), "cell 2"),
        (HOLDS, (("target", SECRET),), "holds the value of a secret"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(
    source: str, texts: tuple[tuple[str, str], ...], told: str, tmp_path: Path, services: Services
) -> None:
    """A usage error, and no folder of a run."""
    book = notebook(tmp_path / "refused.ipynb", check("holds", source))
    environment = variables(services, SOME_SECRET=SECRET)
    with pytest.raises(UsageError, match=told):
        run(tmp_path, book, environment=environment, texts=texts)
    assert not (tmp_path / "outputs").exists()


def test_a_folder_for_outputs_that_cannot_be_made_is_told(
    tmp_path: Path, services: Services
) -> None:
    """A file is in its place; the option that puts it elsewhere is named."""
    (tmp_path / "outputs").write_text("in the way")
    book = notebook(tmp_path / "refused.ipynb", passing("holds"))
    with pytest.raises(UsageError, match="choose another --output-root"):
        run(tmp_path, book, environment=variables(services))


def test_a_given_url_that_cannot_be_read_leaves_no_run(tmp_path: Path, services: Services) -> None:
    """It is a wrong setting, not an infrastructure that fails: nothing is started."""
    book = notebook(tmp_path / "refused.ipynb", passing("holds"))
    with pytest.raises(UsageError, match="LABKIT_POSTGRES_URL"):
        run(tmp_path, book, environment=variables(services, LABKIT_POSTGRES_URL="nonsense"))
    assert not (tmp_path / "outputs").exists()


def test_a_notebook_need_not_name_a_kernel(tmp_path: Path, services: Services) -> None:
    """The interpreter of labkit is taken whatever a notebook says, so it may say nothing."""
    book = notebook(tmp_path / "plain.ipynb", passing("holds"))
    plain = nbformat.read(book, as_version=4)
    plain.metadata = nbformat.from_dict({})
    nbformat.write(plain, book)
    assert run(tmp_path, book, environment=variables(services)).result.exit_code == 0


def test_an_error_of_labkits_own_comes_after_the_report(tmp_path: Path, services: Services) -> None:
    """What nobody foresaw is raised, and the report says infrastructure, not green."""
    book = notebook(tmp_path / "spoils.ipynb", check("spoils", f"{SPOILS}\n{HOLDS}"))
    with pytest.raises(IsADirectoryError):
        run(tmp_path, book, environment=variables(services))
    [folder] = (tmp_path / "outputs").glob("run_*")
    result = read_run(folder)
    assert result.exit_code == 3
    assert "IsADirectoryError" in result.problems[0].detail
    assert (folder / "index.html").is_file()


def test_what_a_kernel_writes_past_its_notebook_stays_off_the_console(
    tmp_path: Path, services: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    """Raw output has been through no redactor; the notebook's long name is no hindrance either."""
    told = check("tells", f"import os\nos.write(1, {SECRET[:7]!r}.encode())\n{HOLDS}")
    book = notebook(tmp_path / f"{'n' * 85}.ipynb", told)
    assert run(tmp_path, book, environment=variables(services)).result.exit_code == 0
    assert SECRET[:7] not in "".join(capfd.readouterr())


@pytest.mark.parametrize("limit_bytes", [300, 6_000])
def test_a_folder_that_takes_no_more_is_infrastructure(
    limit_bytes: int, tmp_path: Path, services: Services
) -> None:
    """Whether the journal or a notebook is cut off: what the system says, and exit code 3."""
    project = write_project(tmp_path, holds=PASSING)
    limited = f'ulimit -f {limit_bytes // 512}; exec "$@"'
    ran = subprocess.run(
        ["/bin/sh", "-c", limited, "sh", *COMMAND, "run"],
        cwd=project,
        env={**variables(services), "LABKIT_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    told = ran.stdout + ran.stderr
    assert ran.returncode == 3, told
    assert "cannot be written" in told
    assert "File too large" in told
    assert "labkit itself failed" not in told
