"""A run in a process of its own, to be told to end: `driver.py ROOT WORKERS COLD NOTEBOOK …`.

COLD is empty where kernels are forked.
"""

import os
import signal
import sys
from pathlib import Path

from tests.batch.runs import run

if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests themselves run under nohup
    root, workers, cold, *notebooks = sys.argv[1:]
    ran = run(
        Path(root),
        *map(Path, notebooks),
        environment=dict(os.environ),
        workers=int(workers),
        cold=bool(cold),
    )
    sys.exit(ran.result.exit_code)
