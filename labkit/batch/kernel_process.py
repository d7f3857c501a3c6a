"""A cold kernel's process, which ends at once with the process that started it.

ipykernel looks for its parent once a second. A kernel that starts just when its run is killed would
in that time make its connection file again, and with it the run's private folder.
"""

from __future__ import annotations

import sys

from labkit.batch.kernel_app import launch
from labkit.warm.state import die_with

if __name__ == "__main__":
    die_with(int(sys.argv.pop(1)))
    launch()
