"""A program that mixes replies up with whatever redis-py it is run with, and says what it saw.

It reads one line of JSON, the host, port, user and password of a Redis, and writes one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from random import Random
from typing import Any

import redis
from redis.asyncio import Redis

from labkit.faults.proxy import tcp_proxy
from labkit.judges.mixups import judge_mixup
from labkit.mixups import mix_up_replies


async def _judge(given: dict[str, Any]) -> dict[str, object]:
    path, login, prefix = given["path"], given["login"], given["prefix"]
    canaries = {f"{prefix}key-{one}": f"canary-{one}-of-its-own" for one in range(4)}
    async with tcp_proxy(path, given["port"], random=Random(1)) as proxy:
        # As written here, it is understood by all versions since 4.5.
        client: Any = Redis(host=proxy.host, port=proxy.port, decode_responses=True, **login)
        for key, value in canaries.items():
            await client.set(key, value)
        verdict = judge_mixup(await mix_up_replies(client.get, proxy, canaries))
        await client.connection_pool.disconnect()
    return {
        "version": redis.__version__,
        "valid": verdict.valid,
        "reason": verdict.reason,
        "first": verdict.first,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_judge(json.loads(sys.stdin.readline())))))  # noqa: T201 - its answer
