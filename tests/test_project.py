"""Where a project is found, and what lies in it."""

from pathlib import Path

import pytest

from labkit.errors import UsageError
from labkit.project import find_project


def lay_out(root: Path) -> Path:
    """A folder with what makes it a project."""
    (root / "notebooks").mkdir(parents=True)
    (root / "params").mkdir()
    return root


def test_project_of_a_folder_inside(tmp_path: Path) -> None:
    """The nearest folder above with `notebooks/` and `params/` is the project."""
    outer = lay_out(tmp_path / "outer")
    inner = lay_out(outer / "inner")
    (inner / "deep" / "notebooks").mkdir(parents=True)

    assert find_project(inner / "deep" / "notebooks").root == inner
    assert find_project(outer).root == outer


def test_folders(tmp_path: Path) -> None:
    """A project's folders lie in its root; the one for runs need not exist."""
    project = find_project(lay_out(tmp_path))

    assert (project.notebooks, project.params) == (tmp_path / "notebooks", tmp_path / "params")
    assert project.outputs == tmp_path / "outputs"
    assert project.proven == tmp_path / "notebooks" / "proven.json"


def test_project_notebooks(tmp_path: Path) -> None:
    """A project's notebooks are the files in its folder, in alphabetical order, none hidden."""
    project = find_project(lay_out(tmp_path))
    for name in ("b.ipynb", "a.ipynb", ".hidden.ipynb", "notes.md"):
        (project.notebooks / name).touch()
    (project.notebooks / "folder.ipynb").mkdir()

    assert [path.name for path in project.project_notebooks()] == ["a.ipynb", "b.ipynb"]


def test_no_project(tmp_path: Path) -> None:
    """Outside of any project the error says where was looked, and how to get one."""
    with pytest.raises(UsageError, match=f"{tmp_path}.* labkit init DIR"):
        find_project(tmp_path)
