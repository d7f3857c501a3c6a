"""A process of one service: `python -m labkit.reference.configuration`, as its owner starts it.

It reads one line of JSON (`WorkerConfig`) from its standard input, loads its settings, says that it
is ready, follows its settings, and answers its owner's questions, one line of JSON each, until that
input ends, which tells that its owner is gone, or until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from labkit.errors import LabError
from labkit.redaction import Redactor
from labkit.reference.configuration.loading import Loaded
from labkit.reference.configuration.parts import ConfigurationParts, parts_named
from labkit.reference.configuration.watch import Watch, Worker
from labkit.reference.configuration.worker_config import WorkerConfig
from labkit.reference.processes.owner import LONGEST_LINE_BYTES, Owner, whole_line
from labkit.reference.serving.logs import write_logs
from labkit.reference.tasks import end

_log: Final = logging.getLogger("labkit.reference.configuration")


def main() -> None:
    """Work; a configuration, target or setting that does not hold ends it with the reason."""
    owner = Owner.met()
    logs = Logs()
    try:
        config = WorkerConfig.from_line(owner.first)
        parts = parts_named(config.parts)
        asyncio.run(_work(config, parts, owner, logs))
    except LabError as error:
        raise SystemExit(logs.redactor.text(f"{type(error).__name__}: {error}")) from None


class Logs:
    """The process's logs, as its settings want them."""

    def __init__(self) -> None:
        self.redactor = Redactor()

    def follow(self, loaded: Loaded) -> None:
        """Log from the level of the settings upwards, without any secret there ever was."""
        self.redactor = self.redactor.joined(loaded.secrets)
        write_logs(sys.stderr, self.redactor)
        logging.getLogger().setLevel(loaded.settings.log_level)


async def _work(config: WorkerConfig, parts: ConfigurationParts, owner: Owner, logs: Logs) -> None:
    loader = parts.loader()
    worker = Worker(config.service, config.environment, config.number)

    def load(overrides: Mapping[str, Any]) -> Loaded:
        return loader.load(config.service, config.environment, config.variables, overrides)

    stop = owner.wishes_end()
    async with parts.watch(worker, load, logs.follow, parts.clock()) as watch:
        owner.told({"service": config.service})
        asked = asyncio.create_task(_answer(owner, watch), name="answers to the owner")
        stopped = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [watch.failure, asked, stopped]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await end(asked, stopped)
        for one in done:
            one.result()


async def _answer(owner: Owner, watch: Watch) -> None:
    """Answer questions until the owner has no more; one that cannot be read, with an error."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while True:
        try:
            line = await whole_line(reader)
        except ValueError as error:
            owner.told({"id": None, "error": f"a question cannot be read: {error}"})
            continue
        if not line:
            return
        owner.told(_answered(watch, line))


def _answered(watch: Watch, line: bytes) -> Mapping[str, object]:
    number = None
    try:
        question = json.loads(line)
        number = question["id"]
        return {"id": number, "answer": ANSWERS[question["ask"]](watch, question)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # The error's own words may quote what was asked.
        return {"id": number, "error": f"the question is not understood ({type(error).__name__})"}


def _proof(watch: Watch, question: Mapping[str, str]) -> str:
    secret = getattr(watch.settings.settings, question["key"]).get_secret_value()
    challenge = question["challenge"].encode()
    return hmac.new(secret.encode(), challenge, hashlib.sha256).hexdigest()


ANSWERS: Final[Mapping[str, Callable[[Watch, Mapping[str, str]], object]]] = {
    "seen": lambda watch, _: [asdict(view) for view in watch.settings.views],
    "notices": lambda watch, _: [asdict(notice) for notice in watch.notices],
    "proof": _proof,
}
"""What is answered to each question."""


if __name__ == "__main__":
    main()
