"""`labkit init`: a project of one's own, from the notebooks that come with labkit."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from labkit.commands.console import console
from labkit.layout import lay_out, project_files


def init(folder: Path) -> int:
    """Lay out a project in `folder` and tell what to do next; 0.

    Raises `UsageError` where that would overwrite something or cannot be written.
    """
    lay_out(folder, project_files())
    go_there = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    out = console()
    out.print(f"laid out notebooks/ and params/ in {folder}; next:", soft_wrap=True)
    out.print(f"  {go_there}{_labkit()} run", soft_wrap=True)
    return 0


def _labkit() -> str:
    """The running labkit as a shell calls it from any folder: by name if that is found there."""
    if shutil.which("labkit"):
        return "labkit"
    script = Path(sys.argv[0]).absolute()
    by_path = [str(script)] if script.name == "labkit" else [sys.executable, "-m", "labkit"]
    return shlex.join(by_path)
