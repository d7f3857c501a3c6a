"""`labkit lab`: JupyterLab on the project's notebooks, for as long as somebody works there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from labkit.doctor import GET_JUPYTERLAB
from labkit.environment import IsolatedEnvironment
from labkit.errors import InfrastructureError, UsageError
from labkit.project import Project, find_project
from labkit.services.endpoints import Origin
from labkit.services.keeper import Will, keep
from labkit.services.open import standing_servers
from labkit.services.places import default_cache
from labkit.services.supervisor import down, up
from labkit.signals import asked_to_end

_GRACE_S: Final = 20.0
"""How long JupyterLab may take to end its kernels once it was told to."""

# Its standard input is a pipe from its owner and ends with it: so does JupyterLab then, and it
# does not ask there whether it shall.
_BOOTSTRAP: Final = """\
import os, runpy, signal, sys, threading

def end_with_the_owner():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_the_owner, daemon=True).start()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def open_lab(arguments: Sequence[str]) -> int:
    """Run JupyterLab until it is ended, with services up for it; 0.

    Raises `UsageError` where there is no project or no JupyterLab, `ServiceUnavailable` when the
    services do not start, and `InfrastructureError` when JupyterLab ends by itself with an error.
    """
    project = find_project(Path.cwd())
    if find_spec("jupyterlab") is None:
        text = f"JupyterLab is not installed for {sys.executable}; {GET_JUPYTERLAB}"
        raise UsageError(text)
    variables = IsolatedEnvironment.of_process().as_mapping()
    with _services(variables, default_cache(variables)) as will:
        return asyncio.run(
            serve(
                ["jupyterlab", *permitted(arguments, user=os.geteuid())],
                folder=project.notebooks,
                environment=_with_project(variables, project),
                will=will,
            )
        )


def permitted(arguments: Sequence[str], *, user: int) -> Sequence[str]:
    """JupyterLab's arguments, with the leave that it wants to run as root."""
    if user != 0 or "--allow-root" in arguments:
        return arguments
    return [*arguments, "--allow-root"]


@contextlib.contextmanager
def _services(variables: Mapping[str, str], cache: Path) -> Iterator[Will | None]:
    """Servers that notebooks will find while the block runs; only what was started here is ended.

    Each kernel that found none would start its own. The will ends them where the block cannot.
    """
    standing = standing_servers(variables, cache=cache)
    is_complete = Origin.EMBEDDED not in {standing.postgres_origin, standing.redis_origin}
    started = not is_complete and up(cache, environment=variables).started
    try:
        yield Will((sys.executable, "-m", "labkit", "services", "down")) if started else None
    finally:
        if started:
            down(cache)


def _with_project(variables: Mapping[str, str], project: Project) -> dict[str, str]:
    """The variables, with the project's root among the places that modules are imported from."""
    paths = [str(project.root), *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)}


async def serve(
    argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], will: Will | None = None
) -> int:
    """Run a Python module with its arguments, as a process of its own, until it ends; 0.

    Each signal that asks to end reaches it as SIGTERM; then it has `_GRACE_S` seconds. It has a
    process group of its own, so that Ctrl-C does not reach it. `will` is carried out when this
    process is killed. Raises `InfrastructureError` when the module ended with an error that
    nobody asked for.
    """
    async with keep(will=will):
        return await _serve(argv, folder, environment)


async def _serve(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BOOTSTRAP, *argv),
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.PIPE,
        process_group=0,
    )
    asked = asyncio.Event()
    try:
        with asked_to_end(lambda _: _pass_on(process, asked)):
            await _end(process, asked)
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of the group have ended
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode and not asked.is_set():
        text = f"{argv[0]} ended with exit code {process.returncode}; see above what it wrote"
        raise InfrastructureError(text)
    return 0


async def _end(process: asyncio.subprocess.Process, asked: asyncio.Event) -> None:
    """Wait until the process ends, or did not although it was asked to."""
    ended, told = asyncio.create_task(process.wait()), asyncio.create_task(asked.wait())
    await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    await asyncio.wait({ended}, timeout=_GRACE_S)
    ended.cancel()


def _pass_on(process: asyncio.subprocess.Process, asked: asyncio.Event) -> None:
    asked.set()
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        # JupyterLab asks back at SIGINT, and a shell's background job ignores that. Not
        # `Process.send_signal`: it polls, and may take the exit status from the loop's watcher.
        os.kill(process.pid, signal.SIGTERM)
