"""A run in a process of its own, to be told to end: `driver.py [--workers=N] ROOT NOTEBOOK …`."""

import os
import sys
from pathlib import Path

from tests.batch.runs import run

if __name__ == "__main__":
    workers = 1
    words = sys.argv[1:]
    if words[0].startswith("--workers="):
        workers = int(words.pop(0).partition("=")[2])
    root, *notebooks = map(Path, words)
    ran = run(root, *notebooks, environment=dict(os.environ), workers=workers)
    sys.exit(ran.result.exit_code)
