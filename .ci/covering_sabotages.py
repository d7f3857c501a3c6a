"""Prints the names of sabotages of which every check must catch one, as few as are quickly found.

`labkit prove` by itself tries them all, which takes several times as long; that is for a release.
"""

import sys
from collections.abc import Sequence

from labkit.sabotage import Sabotage
from labkit.targets.loading import load_sabotages


def covering(sabotages: Sequence[Sabotage]) -> list[str]:
    """Always the one that most of the checks that are left must catch, until none is left."""
    caught_by = {one.name: {catch.check for catch in one.must} for one in sabotages}
    left, chosen = set[str]().union(*caught_by.values()), list[str]()
    while left:
        best = max(caught_by, key=lambda name: len(caught_by[name] & left))
        left -= caught_by[best]
        chosen.append(best)
    return chosen


sys.stdout.write("\n".join(covering(load_sabotages("labkit.reference:Platform"))))
