"""Prints the URL of the PostgreSQL or Redis on the standard port, if it lets one in and suits."""

import asyncio
import getpass
import sys

from labkit.errors import InfrastructureError
from labkit.services.endpoints import Origin
from labkit.services.probe import Probe, probe_postgres, probe_redis
from labkit.services.urls import PostgresUrl, RedisUrl

CANDIDATES = {
    "postgres": [
        f"postgresql://{user}@127.0.0.1:5432/postgres"
        for user in dict.fromkeys(["postgres", getpass.getuser()])
    ],
    "redis": ["redis://127.0.0.1:6379/0"],
}


async def probe(service: str, url: str) -> Probe:
    """What the server at the URL is, and why it does not suit, if it does not."""
    if service == "postgres":
        return await probe_postgres(PostgresUrl.parse(url), Origin.GIVEN)
    return await probe_redis(RedisUrl.parse(url), Origin.GIVEN)


async def find(service: str) -> str:
    """The first URL that suits, else an empty text; stderr tells why one does not."""
    for url in CANDIDATES[service]:
        try:
            probed = await asyncio.wait_for(probe(service, url), timeout=10)
        except (InfrastructureError, TimeoutError) as error:
            faults = [str(error) or "no answer in time"]
        else:
            faults = list(probed.faults)
        if not faults:
            return url
        sys.stderr.write(f"not used: {url}: {'; '.join(faults)}\n")
    return ""


sys.stdout.write(asyncio.run(find(sys.argv[1])))
