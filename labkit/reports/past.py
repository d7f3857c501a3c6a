"""How notebooks went the last time, for the order in which the next run begins them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labkit.journal import Ending

_RUNS: Final = 10
"""How many runs are looked through: a notebook that none of them executed counts as new."""
_RESULTS: Final = frozenset(ending for ending in Ending if ending.is_result)


@dataclass(frozen=True)
class Past:
    """How a notebook went."""

    seconds: float
    is_red: bool


def read_past(outputs: Path, sources: Collection[str]) -> Mapping[str, Past]:
    """What the newest run that executed it says of each notebook, by its source as written.

    Proofs do not count, since most of their trials shall turn red. A run without results that can
    be read, as after a kill, tells nothing.
    """
    found: dict[str, Past] = {}
    runs = sorted(outputs.glob("run_*"), reverse=True)  # by the time in their ids
    for folder in runs[:_RUNS]:
        if found.keys() >= set(sources):
            break
        found = {**_past_of(folder), **found}
    return found


def _past_of(folder: Path) -> Mapping[str, Past]:
    past: dict[str, Past] = {}
    for source, told in _notebooks(folder):
        other = past.get(source, told)  # of several executions the longest, and any that is red
        longest_s = max(told.seconds, other.seconds)
        past[source] = Past(longest_s, told.is_red or other.is_red)
    return past


def _notebooks(folder: Path) -> Iterator[tuple[str, Past]]:
    for notebook in _results(folder).get("notebooks", []):
        if notebook["ending"] in _RESULTS:
            is_red = notebook["outcome"] not in {"passed", "skipped"}
            yield notebook["source"], Past(notebook["seconds"], is_red)


def _results(folder: Path) -> dict[str, Any]:
    """What the run's `results.json` holds; nothing for a proof, or where it cannot be read."""
    try:
        results: dict[str, Any] = json.loads((folder / "results.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return results if results.get("proof") is None else {}
