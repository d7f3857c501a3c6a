"""Lays out a project: the notebooks and parameters that come with labkit, to run and to change.

What the notebooks' checks are known to catch comes with them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import labkit
from labkit.errors import UsageError

_README: Final = """\
# An integration lab

`notebooks/` holds one notebook for each integration area, `params/` one file of parameters for each
environment. What they do, and how to go on:

    labkit list      # areas, checks, and what each claims
    labkit doctor    # which PostgreSQL and Redis would be used, and what is missing
    labkit run       # execute all of it; the report is outputs/latest/index.html
    labkit lab       # look inside, cell by cell, in JupyterLab

Servers are given by LABKIT_POSTGRES_URL and LABKIT_REDIS_URL in the environment; without them the
lab starts its own.
"""
_TEXTS: Final[Mapping[str, str]] = {"README.md": _README, ".gitignore": "/outputs/\n"}
_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "notebooks": ("*.ipynb", "proven.json"),
    "params": ("*.yaml",),
}


def project_files() -> Path:
    """The folder that holds the notebooks and parameters that come with labkit.

    In an installed wheel they are the package's data, in a checkout they lie beside the package.
    """
    package = Path(labkit.__file__).parent
    packaged = package / "project_files"
    return packaged if packaged.is_dir() else package.parent


def lay_out(folder: Path, source: Path) -> None:
    """Make a project of `folder`, which may exist, from the files in `source`.

    Raises `UsageError` when something that would be made is there already, with nothing changed, or
    when the folder cannot be written to.
    """
    taken = [name for name in (*_FOLDERS, *_TEXTS) if os.path.lexists(folder / name)]
    if taken:
        raise UsageError(
            f"{folder} has {', '.join(taken)} already, and nothing was changed; name another folder"
        )
    try:
        for name, patterns in _FOLDERS.items():
            (folder / name).mkdir(parents=True)
            for path in (path for each in patterns for path in (source / name).glob(each)):
                shutil.copyfile(path, folder / name / path.name)
        for name, text in _TEXTS.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        text = f"a project cannot be laid out in {folder}: {error.strerror}"
        raise UsageError(f"{text}; check its rights, or name another folder") from error
