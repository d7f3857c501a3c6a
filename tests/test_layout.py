"""What `labkit init` lays out."""

from pathlib import Path

import pytest

from labkit.errors import UsageError
from labkit.layout import lay_out, project_files
from labkit.notebook import read_notebook
from labkit.project import find_project
from tests.notebook_files import CHECK, code, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder as labkit brings it, with something in it that is no part of a project."""
    (tmp_path / "source" / "notebooks" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "source" / "params").mkdir()
    write(tmp_path / "source" / "notebooks" / "area.ipynb", code(CHECK))
    (tmp_path / "source" / "notebooks" / "proven.json").write_text("[]\n")
    (tmp_path / "source" / "params" / "test.yaml").write_text("environment: test\n")
    (tmp_path / "source" / "secret.txt").touch()
    return tmp_path / "source"


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_project_has_notebooks_parameters_and_what_explains_them(
    source: Path, tmp_path: Path
) -> None:
    """The folder is made, and holds these files and no others."""
    lay_out(tmp_path / "deep" / "mine", source)
    assert set(_tree(tmp_path / "deep" / "mine")) == {
        "notebooks/area.ipynb",
        "notebooks/proven.json",
        "params/test.yaml",
        "README.md",
        ".gitignore",
    }
    found = find_project(tmp_path / "deep" / "mine" / "notebooks")
    assert found.root == tmp_path / "deep" / "mine"


@pytest.mark.parametrize("taken", ["notebooks", "params", "README.md", ".gitignore"])
def test_nothing_that_is_there_is_lost(taken: str, source: Path, tmp_path: Path) -> None:
    """What would be made and is there already is named, and nothing changes, be it a link."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "own.txt").write_text("own")
    (mine / taken).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=rf"mine has {taken} already, and nothing was changed"):
        lay_out(mine, source)
    assert sorted(path.name for path in mine.iterdir()) == sorted([taken, "own.txt"])


def test_other_files_in_the_folder_stay(source: Path, tmp_path: Path) -> None:
    """A project can be laid out beside what somebody has."""
    (tmp_path / "own.txt").write_text("own")
    lay_out(tmp_path, source)
    assert (tmp_path / "own.txt").read_text() == "own"


def test_a_folder_that_cannot_be_made_is_told(source: Path, tmp_path: Path) -> None:
    """A file in the way is named with what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be laid out in .*file/mine: Not a directory"):
        lay_out(tmp_path / "file" / "mine", source)


def test_what_labkit_brings_can_be_laid_out(tmp_path: Path) -> None:
    """Its own notebooks are read as a project's; each environment and overlay have their file."""
    lay_out(tmp_path, project_files())
    project = find_project(tmp_path)
    assert [read_notebook(path).name for path in project.project_notebooks()]
    names = sorted(path.stem for path in project.params.iterdir())
    assert names == ["development", "fast", "production", "staging", "stress", "test"]
