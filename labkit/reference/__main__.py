"""A server process of the platform: `python -m labkit.reference`, as its owner starts it.

It reads one line of JSON (`ServiceConfig`) from its standard input, says in one line of JSON where
it listens, and serves until that input ends, which tells that its owner is gone, or until SIGTERM
or SIGINT. Nothing else is ever written to its standard output; logs go to standard error.
"""

from __future__ import annotations

import asyncio
import sys

from labkit.errors import LabError, TargetError
from labkit.redaction import Redactor
from labkit.reference.config import ServiceConfig
from labkit.reference.parts import Parts
from labkit.reference.platform import Platform
from labkit.reference.processes.owner import Owner
from labkit.reference.service import serving
from labkit.reference.serving.logs import write_logs
from labkit.services.endpoints import secrets_of
from labkit.targets.loading import load_target


def main() -> None:
    """Serve; a configuration or target that does not hold ends it with the reason."""
    owner = Owner.met()
    redactor = Redactor()
    try:
        config = ServiceConfig.from_line(owner.first)
        redactor = Redactor((*secrets_of(config.lease), config.token_key))
        write_logs(sys.stderr, redactor)
        asyncio.run(_serve(config, _parts_of(config.target), owner))
    except LabError as error:
        raise SystemExit(redactor.text(f"{type(error).__name__}: {error}")) from None


def _parts_of(target: str) -> Parts:
    factory: object = load_target(target)
    if not isinstance(factory, type) or not issubclass(factory, Platform):
        raise TargetError(f"target {target!r} is not made of the platform's parts")
    return factory.parts


async def _serve(config: ServiceConfig, parts: Parts, owner: Owner) -> None:
    stop = owner.wishes_end()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)  # nothing more is said to it: this is the end
    async with serving(config, parts) as door:
        owner.told({"host": door.host, "port": door.port})
        await stop.wait()
        loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    main()
