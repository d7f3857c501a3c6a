"""What is forked in these tests: `program.py TEXT [WORD …]` runs this text of Python."""

import sys

if __name__ == "__main__":
    exec(sys.argv[1])  # noqa: S102 - it is the test's own text
