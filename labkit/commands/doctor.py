"""`labkit doctor`: what was found, line by line for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from labkit.batch.plan import PRODUCTION
from labkit.commands.console import console, print_hanging
from labkit.doctor import Finding, Patient, State, examine
from labkit.environment import IsolatedEnvironment
from labkit.project import nearest_project
from labkit.redaction import Redactor, secrets_in
from labkit.reports.texts import counted, plain
from labkit.services.places import default_cache

_SIGNS: Final = {
    State.GOOD: ("✓", "green"),
    State.NOTE: ("!", "yellow"),
    State.MISSING: ("✗", "red"),
}
_MISSING: Final = 3


def doctor(*, environment: str, allow_hosts: Sequence[str]) -> int:
    """Examine this machine and tell; 0 when nothing is missing, else 3."""
    variables = IsolatedEnvironment.of_process().as_mapping()
    patient = Patient(
        variables=variables,
        cache=default_cache(variables),
        allow_hosts=tuple(allow_hosts),
        project=nearest_project(Path.cwd()),
        environment=environment,
    )
    findings = asyncio.run(examine(patient))
    out = console()
    redactor = Redactor(secrets_in(variables))
    for finding in findings:
        _print(finding, redactor, out)
    missing = sum(finding.state is State.MISSING for finding in findings)
    if missing:
        out.print(f"{counted(missing, 'thing')} to be put right before a run", style="bold red")
        return _MISSING
    if environment == PRODUCTION:
        out.print("nothing is missing; production is only looked at, a run there is refused")
    else:
        out.print("a run can start", style="bold green")
    return 0


def _print(finding: Finding, redactor: Redactor, out: Console) -> None:
    sign, style = _SIGNS[finding.state]
    body = Text(redactor.text(plain(finding.told)))
    for detail in finding.details:
        body.append(f"\n{redactor.text(plain(detail))}", style="dim")
    print_hanging(out, Text(sign, style=style).append(f" {finding.subject:<11} ", "default"), body)
