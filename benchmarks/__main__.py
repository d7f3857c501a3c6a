"""`python -m benchmarks`: measure everything, and print it as Markdown.

It takes some minutes a round, and means something on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import click

from benchmarks.compare import in_turns
from benchmarks.contenders import lab_contenders, plain_contenders
from benchmarks.execute import warm_ground
from benchmarks.growth import checks, growth
from benchmarks.machine import describe_machine
from benchmarks.picture import ratio_picture
from benchmarks.results import Results
from benchmarks.services import time_services
from benchmarks.table import page_with, section
from labkit.environment import IsolatedEnvironment
from labkit.errors import LabError
from labkit.services.embedded import embedded_services
from labkit.services.endpoints import Services
from labkit.services.given import POSTGRES_URL, REDIS_URL

ROOT: Final = Path(__file__).parent.parent
FEW_AND_MANY: Final = (20, 200)
PACKAGES: Final = (
    *("labkit", "papermill", "nbmake", "pytest", "pytest-xdist", "nbclient", "ipykernel"),
    *("jupyter-client", "matplotlib", "asyncpg", "redis", "websockets"),
)


def plain_environment(cache: Path) -> dict[str, str]:
    """The environment of the process without settings of labkit, and with a cache."""
    variables = IsolatedEnvironment.of_process().as_mapping()
    kept = {name: text for name, text in variables.items() if not name.startswith("LABKIT_")}
    return {**kept, "LABKIT_CACHE_DIR": str(cache)}


def urls_of(services: Services) -> dict[str, str]:
    """The variables that give the servers to a contender."""
    urls = (services.postgres.url, services.redis.url)
    return {POSTGRES_URL: urls[0].reveal(), REDIS_URL: urls[1].reveal()}


async def measure(rounds: int, cache: Path) -> Results:
    """Everything, on servers that are started for it."""
    plain = sorted((ROOT / "benchmarks" / "notebooks").glob("*.ipynb"))
    own = sorted((ROOT / "notebooks").glob("*.ipynb"))
    environment = plain_environment(cache)
    async with embedded_services(cache, environment=environment) as services:
        machine = describe_machine(ROOT, services, PACKAGES)
        served = environment | urls_of(services)
        async with warm_ground() as ground:
            by_plain = await in_turns(
                plain_contenders(ground), plain, rounds=rounds, environment=environment, tell=_tell
            )
            by_lab = await in_turns(
                lab_contenders(ground), own, rounds=rounds, environment=served, tell=_tell
            )
        turns = FEW_AND_MANY * rounds
        by_checks = [await checks(count, environment=served) for count in turns]
    by_executions = [await growth(plain[0], count, environment=environment) for count in turns]
    return Results(
        machine=machine,
        plain=by_plain,
        lab=by_lab,
        services=await time_services(times=rounds, environment=environment),
        growth=tuple(by_executions),
        checks=tuple(by_checks),
    )


def keep(results: Results, root: Path) -> None:
    """Write them, their picture and their section of the README into the repository at `root`."""
    folder, readme = root / "benchmarks", root / "README.md"
    results.write(folder / "results.json")
    picture = ratio_picture(results)
    (folder / "ratios.svg").write_text(picture.svg, encoding="utf-8")
    shown = f"{section(results)}\n![{picture.words}](benchmarks/ratios.svg)\n"
    page = page_with(readme.read_text(encoding="utf-8"), shown)
    readme.write_text(page, encoding="utf-8")


def _tell(text: str) -> None:
    click.echo(text, err=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How often each contender is measured; ratios are those of times in the same round.",
)
@click.option("--write", is_flag=True, help="Keep the results in the repository and its README.")
def main(rounds: int, write: bool) -> None:
    """Measure what the notebook layer costs, and print it as Markdown.

    It needs what requirements-benchmarks.txt installs. A round takes some minutes, and means
    something on a machine that does nothing else.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="labkit-benchmark-") as cache:
            results = asyncio.run(measure(rounds, Path(cache)))
    except LabError as error:
        raise click.ClickException(str(error)) from error
    click.echo(section(results))
    if write:
        keep(results, ROOT)


if __name__ == "__main__":
    main()
