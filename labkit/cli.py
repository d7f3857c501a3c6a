"""The command line: words become calls, what went wrong becomes one sentence and an exit code.

Exit codes: 0 green or done, 1 checks not green, 2 usage, 3 infrastructure, 4 deadline or cancelled,
5 a secret was found in an output.

Each command imports what it does when it is called: `--version`, `--help` and a wrong option answer
without the half second that papermill, IPython and the drivers take to be imported.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import io
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

import labkit
from labkit.errors import InfrastructureError, LabError, TargetError, UsageError

_DEBUG: Final = "labkit.debug"
_F = TypeVar("_F", bound=Callable[..., Any])


def main() -> None:
    """The entry point `labkit`."""
    # Whoever ends it politely, by Ctrl-C or SIGTERM, gets the same order and the same exit code.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no sign for something shows its escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    door(prog_name="labkit")


class _Door(click.Group):
    """Exits with what a command returns, and translates what it raises."""

    def invoke(self, ctx: click.Context) -> None:
        """Call the command."""
        try:
            code = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own to tell
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- told to the user
            if ctx.meta.get(_DEBUG):
                click.echo(_without_secrets(traceback.format_exc()), err=True, nl=False)
            sentence, code = _translated(error)
            click.echo(f"Error: {_without_secrets(sentence)}", err=True)
        ctx.exit(code)


def _translated(error: BaseException) -> tuple[str, int]:
    """What the user is told of an error, and the exit code."""
    match error:
        case UsageError() | TargetError():
            return str(error), 2
        case InfrastructureError():
            return str(error), 3
        case LabError():
            return str(error), 1
        case KeyboardInterrupt():
            return "stopped by a signal before the end; nothing of labkit's own runs on", 4
    text = f"labkit itself failed with {type(error).__name__}: {error}"
    return f"{text}; run again with --debug to see where, and report it", 3


def _without_secrets(text: str) -> str:
    """The text without the secrets that this process's environment holds."""
    from labkit.environment import IsolatedEnvironment
    from labkit.redaction import Redactor, secrets_in

    variables = IsolatedEnvironment.of_process().as_mapping()
    return Redactor(secrets_in(variables)).text(text)


def _remember_debug(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_DEBUG] = True


_debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember_debug,
    help="Show the traceback of an error.",
)
_allow_host_option = click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="Allow a given server on this host, which is neither local nor private.",
)
_workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Execute N notebooks at the same time.  [default: the number of processors]",
)
_cold_option = click.option(
    "--cold", is_flag=True, help="Start each kernel on its own, and fork none from a warm process."
)


@click.group(
    cls=_Door,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(labkit.__version__, message="%(prog)s %(version)s")
@_debug_option
def door() -> None:
    """Integration checks in notebooks, on a real PostgreSQL and Redis.

    Exit codes: 0 green, 1 checks not green, 2 usage, 3 infrastructure, 4 deadline or cancelled,
    5 a secret was found in an output.
    """


def _command(name: str, **settings: Any) -> Callable[[_F], click.Command]:
    """A command of the door; each takes `--debug`."""

    def register(function: _F) -> click.Command:
        return door.command(name, **settings)(_debug_option(function))

    return register


@_command("run")
@click.argument("selections", nargs=-1, metavar="[AREA|PATH]...")
@click.option("-p", "texts", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter.")
@click.option(
    "-r", "raws", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter to a text."
)
@click.option(
    "-f",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Set parameters from a YAML file; later files win.",
)
@click.option("-y", "yamls", multiple=True, metavar="TEXT", help="Set parameters from YAML.")
@click.option(
    "--environment",
    default="test",
    show_default=True,
    metavar="NAME",
    help="Load params/NAME.yaml first.",
)
@click.option(
    "--output-root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Make the run's folder in DIR.  [default: the project's outputs/]",
)
@click.option(
    "--target",
    metavar="PACKAGE.MODULE:CLASS",
    help="Test this platform: short for -r target.",
)
@_allow_host_option
@click.option(
    "--deadline",
    "deadline_s",
    type=float,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="End a notebook that takes longer.",
)
@_workers_option
@_cold_option
@click.option(
    "-k",
    "expression",
    metavar="EXPRESSION",
    help="Execute the checks whose name, or notebook's, fits: 'rollback and not cache'.",
)
@click.option("--profile", is_flag=True, help="Tell where the time of each notebook went.")
@click.option(
    "--coverage",
    is_flag=True,
    help="Measure how much of the target's package runs; kernels start cold.",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Execute each notebook N times, and tell how steady its checks are.",
)
@click.option(
    "--resume",
    metavar="RUN",
    help="Go on with this run, given the same otherwise: execute what has no result yet.",
)
@click.option(
    "--mode",
    type=click.Choice(["full", "fast_feedback"]),
    default="full",
    show_default=True,
    help="fast_feedback: params/fast.yaml over the environment's, --failed-first and --fail-fast.",
)
@click.option("--fail-fast", is_flag=True, help="Begin no further notebook once one is red.")
@click.option(
    "--failed-first", is_flag=True, help="Begin with the notebooks that were red the last time."
)
def _run(**given: Any) -> int:
    """Execute notebooks and report what they found.

    AREA is the name of one of the project's notebooks, PATH any notebook; without them, all areas
    are run. The report is in outputs/latest/.
    """
    from labkit.commands.warmth import importing_much, warmth

    with warmth(cold=given.pop("cold") or given["coverage"]) as warm:
        with importing_much():
            from labkit.commands.run import Asked, run

        return run(Asked(**given), warm)


@_command("prove", short_help="Show that every check can fail, and for the right reason.")
@click.argument("areas", nargs=-1, metavar="[AREA|PATH]...")
@click.option(
    "--sabotage",
    "names",
    multiple=True,
    metavar="NAME",
    help="Try this sabotage alone, or these.",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Do each trial N times.",
)
@click.option("--sweep", is_flag=True, help="Try all sabotages in all notebooks.")
@click.option("--list", "only_list", is_flag=True, help="Show the sabotages, and try none.")
@click.option(
    "--target",
    metavar="PACKAGE.MODULE:CLASS",
    help="Take the sabotages that this platform brings.",
)
@_allow_host_option
@_workers_option
@_cold_option
def _prove(**given: Any) -> int:
    """Run notebooks against platforms with one faulty part each, and tell which check noticed.

    Each sabotage must be caught by every check that it concerns, for the reason that this must
    give; nothing else may turn red but what the sabotage names; each check must catch something;
    and without sabotage all must be green. By default each notebook runs against the sabotages that
    concern it. The matrix is proof.html in outputs/latest/. Exit code: 0 if the proof passes, or 1.
    """
    from labkit.commands.warmth import importing_much, warmth

    with warmth(cold=given.pop("cold") or given["only_list"]) as warm:
        with importing_much():
            from labkit.commands.prove import prove

        return prove(given.pop("areas"), warm=warm, **given)


@_command("list", short_help="Show areas, their checks, and what each check claims.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
@click.option(
    "--target",
    metavar="PACKAGE.MODULE:CLASS",
    help="Show which checks this platform would skip, and why, as far as that can be foretold.",
)
def _list(as_json: bool, target: str | None) -> int:
    """Show areas, their business value, checks, and what each check claims and needs."""
    from labkit.commands.listing import show_areas

    return show_areas(target=target, as_json=as_json)


@_command("doctor", short_help="Show which services would be used, and what is missing.")
@_allow_host_option
@click.option(
    "--environment",
    default="test",
    show_default=True,
    metavar="NAME",
    help="Look at params/NAME.yaml; production too, since nothing is written.",
)
def _doctor(allow_hosts: tuple[str, ...], environment: str) -> int:
    """Show which services would be used, and what is missing and how to get it.

    Given servers are only read from; servers of the lab's own are started for a moment. Exit code
    0 when nothing is missing, else 3.
    """
    from labkit.commands.doctor import doctor

    return doctor(environment=environment, allow_hosts=allow_hosts)


@_command("report", short_help="Rebuild the reports of a run.")
@click.argument("run")
def _report(run: str) -> int:
    """Rebuild the reports of RUN: a run's id, the path of its folder, or latest.

    The exit code is the rebuilding's own: 0 when it could be done, whatever the run's verdict is.
    """
    from labkit.commands.run import report

    return report(run)


@_command("init")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def _init(folder: Path) -> int:
    """Lay out a project in DIR: notebooks, parameters, a README."""
    from labkit.commands.init import init

    return init(folder)


@_command(
    "lab",
    short_help="Open JupyterLab on the project's notebooks, with services up.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTERLAB ARGUMENTS]...")
def _lab(arguments: tuple[str, ...]) -> int:
    """Open JupyterLab on the project's notebooks, with services up until it is closed.

    Whatever labkit does not know itself is JupyterLab's, such as --no-browser.
    """
    from labkit.commands.lab import open_lab

    return open_lab(arguments)


@door.group("services")
@_debug_option
def _services() -> None:
    """Hold PostgreSQL and Redis between runs, for interactive work."""


@_services.command("up")
@_debug_option
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(min=0, min_open=True),
    default=8 * 3600.0,
    show_default=True,
    metavar="SECONDS",
    help="End them after this time without use.",
)
def _up(idle_s: float) -> int:
    """Start them, unless they are up."""
    from labkit.commands.services import bring_up

    return bring_up(idle_s=idle_s)


@_services.command("status")
@_debug_option
def _status() -> int:
    """Tell whether they are up: exit code 0, else 3."""
    from labkit.commands.services import show_status

    return show_status()


@_services.command("down")
@_debug_option
def _down() -> int:
    """End them."""
    from labkit.commands.services import bring_down

    return bring_down()
