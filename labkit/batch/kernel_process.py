"""A kernel's process, which ends at once with the process that started it.

ipykernel looks for its parent once a second. A kernel that starts just when its run is killed would
in that time make its connection file again, and with it the run's private folder.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Be killed by Linux when the parent's thread that started this process ends.

    Other systems have no such signal; there ipykernel's own look must do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the signal was asked for
            os._exit(1)


if __name__ == "__main__":
    die_with(int(sys.argv.pop(1)))
    runpy.run_module("ipykernel_launcher", run_name="__main__")
