"""A run in a process of its own, to be told to end or killed: `driver.py ROOT NOTEBOOK …`."""

import os
import sys
from pathlib import Path

from tests.batch.runs import run

if __name__ == "__main__":
    root, *notebooks = map(Path, sys.argv[1:])
    sys.exit(run(root, *notebooks, environment=dict(os.environ)).result.exit_code)
