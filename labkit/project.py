"""Where a project's notebooks, parameters and runs lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError


@dataclass(frozen=True)
class Project:
    """A folder with `notebooks/` and `params/`; runs go to `outputs/`, which may not exist yet."""

    root: Path

    @property
    def notebooks(self) -> Path:
        """The folder with one notebook for each area."""
        return self.root / "notebooks"

    @property
    def proven(self) -> Path:
        """What the checks of the notebooks are known to catch; it may not exist yet."""
        return self.notebooks / "proven.json"

    @property
    def params(self) -> Path:
        """The folder with one file of parameters for each environment, and overlays."""
        return self.root / "params"

    @property
    def outputs(self) -> Path:
        """The folder of the executed runs."""
        return self.root / "outputs"

    def project_notebooks(self) -> tuple[Path, ...]:
        """The project's notebooks in alphabetical order; hidden files are none."""
        found = (path for path in self.notebooks.glob("*.ipynb") if path.is_file())
        return tuple(sorted(path for path in found if not path.name.startswith(".")))


def find_project(start: Path) -> Project:
    """The project that the folder `start` lies in: it or the nearest of its parents.

    Raises `UsageError` when none of them has both `notebooks/` and `params/`.
    """
    here = start.absolute()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return Project(folder)
    raise UsageError(
        f"neither {here} nor a folder above it has notebooks/ and params/; run labkit init DIR to"
        " lay a project out, or change to one"
    )


def nearest_project(start: Path) -> Project | None:
    """The project that the folder `start` lies in, or None: a notebook can be run without one."""
    try:
        return find_project(start)
    except UsageError:
        return None
