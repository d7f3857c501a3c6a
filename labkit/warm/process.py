"""A process that imports everything once, and is forked for each request.

Run by its owner as `python -m labkit.warm.process`, it is told on its standard input where to
listen, says one line when it does, and ends when its standard input does, with all that it made.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import logging
import os
import runpy
import socket
import sys
import threading
import traceback
from typing import Final, NoReturn

from labkit.warm.forks import Forks
from labkit.warm.requests import Request
from labkit.warm.state import renew

MODULES: Final = (
    # A kernel's, also those that it imports when it begins.
    "IPython.core.completerlib",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "pdb",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
    # A notebook's, and those of the platform's processes.
    "labkit.lab",
    "labkit.reference.platform",
    "labkit.reference.service",
    "labkit.reference.configuration.running",
)
"""What is imported before the first fork."""

INLINE: Final = "module://matplotlib_inline.backend_inline"
"""How matplotlib draws in a kernel, unless the environment says otherwise."""


def main() -> None:
    """Be the warm process; in each fork, the program that was asked for."""
    owner = os.dup(sys.stdin.fileno())
    _warm_up()
    path = sys.stdin.readline().rstrip("\n")
    if not path:
        return
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        gc.collect()
        gc.freeze()  # what is never collected stays shared
        print("warm", flush=True)  # noqa: T201 - the answer of this program
        request = Forks(door, owner).serve()
    if request is not None:
        _end(_become(request))


def _become(request: Request) -> int:
    """Be what was asked for, in a new process; the status that it ends with."""
    renew(request.environment, request.folder)
    sys.path[:] = request.search_path or _search_path(request.folder)
    sys.argv = [request.module, *request.argv]
    try:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
        return 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _search_path(folder: str) -> list[str]:
    """Where a program that is started in this folder would look for modules."""
    return sys.path if sys.flags.safe_path else [folder, *sys.path[1:]]


def _end(status: int) -> NoReturn:
    """End a fork as `multiprocessing` does: without taking apart all that was imported.

    That would cost as much as all else that a short notebook does.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for the threads
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _warm_up() -> None:
    """Import what processes of the lab import, and use once what is slow at its first use."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's library would start a thread for each core
    os.environ.setdefault("MPLBACKEND", INLINE)  # as a kernel does before matplotlib is imported
    fonts = logging.getLogger("matplotlib.font_manager")
    fonts.setLevel(logging.ERROR)  # it warns where it takes long to find them for the first time
    for name in MODULES:
        importlib.import_module(name)
    fonts.setLevel(logging.NOTSET)  # who draws in a fork may want its warnings
    _draw_once()


def _draw_once() -> None:
    """Draw a figure with text, so that fonts are found and measured."""
    pyplot = importlib.import_module("matplotlib.pyplot")  # not before the environment is set
    figure, axes = pyplot.subplots()
    axes.plot([0, 1], label="0")
    axes.legend()
    for kind in ("png", "svg"):
        figure.savefig(io.BytesIO(), format=kind)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
