"""What a notebook opens: services, a target on a lease of its own, and checks.

::

    lab = await Lab.open("database_transactions", environment=environment, target=target, seed=seed)
    async with lab.check("name", "claim") as check: ...
    await lab.close()
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final, Self, cast

from IPython.core.getipython import get_ipython
from IPython.display import display

from labkit.checks import Check, Surroundings
from labkit.detoured import Detoured, detours
from labkit.doomed import DoomedRename, doomed_rename
from labkit.environment import IsolatedEnvironment
from labkit.errors import NotGreen, TargetError, UsageError
from labkit.guard import Seam, guarded_block, guarded_target
from labkit.hostage import Hostage, hostage
from labkit.output_redaction import guard_output
from labkit.own_redis import OwnRedis, own_redis
from labkit.own_server import OwnServer, own_server
from labkit.record_view import mime_bundle, plain_text
from labkit.records import CheckStarted, LabClosed, LabOpened, Outcome, Record, worst
from labkit.redaction import Redactor, Secret, secrets_in
from labkit.services import handover
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.leases import lease as take_lease
from labkit.services.open import open_services
from labkit.services.places import default_cache
from labkit.skips import or_skip
from labkit.sockets import Login, Socket, connected
from labkit.targets.cache import Cache
from labkit.targets.configuration import Configuration
from labkit.targets.contexts import Contexts
from labkit.targets.data import DataAccess
from labkit.targets.loading import load_target
from labkit.targets.notifications import Door, Notifications, Sockets
from labkit.targets.pipeline import Lifecycle, Pipeline
from labkit.targets.protocols import Capability, Tables, Target, TargetFactory
from labkit.targets.routing import Routing
from labkit.witness import Witness

DEFAULT_DEADLINE_S: Final = 30.0
"""The deadline of a check that names none, in seconds."""

_SECRET_BYTES: Final = 32

_LIBRARIES: Final = ("asyncpg", "ipykernel", "labkit", "papermill", "redis", "websockets")


class Lab:
    """One notebook's laboratory; made by `Lab.open`."""

    def __init__(
        self,
        *,
        area: str,
        environment: str,
        seed: int,
        check_deadline_s: float,
        publisher: Publisher,
    ) -> None:
        self.area = area
        self.environment = environment
        self.seed = seed
        self.random = random.Random(seed)
        """Seeded with `seed`, which the report names."""
        self.lease: Lease
        self.witness: Witness
        self._check_deadline_s = check_deadline_s
        self._publisher = publisher
        self._settings: Mapping[str, str]
        self._spec: str
        self._factory: TargetFactory
        self._seam: Seam
        self._checks: list[Check] = []
        self._exit = contextlib.AsyncExitStack()
        self._closed: LabClosed | None = None

    @classmethod
    async def open(
        cls,
        area: str,
        *,
        environment: str = "test",
        target: str = "labkit.reference:Platform",
        seed: int = 0,
        check_deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> Self:
        """Take a lease, make the target's schema on it and open both target and witness.

        The lease is the one that a run handed over, else one on the services that the environment
        gives, that `labkit services up` holds, or that are started for this process alone.

        Raises `UsageError` in production, `InfrastructureError` when services or lease cannot be
        had, and `TargetError` when the target cannot be loaded. What was opened until then is
        closed again.
        """
        if environment == "production":
            text = "a lab never opens in production; set the parameter environment to another name"
            raise UsageError(text)
        lab = cls(
            area=area,
            environment=environment,
            seed=seed,
            check_deadline_s=check_deadline_s,
            publisher=Publisher(),
        )
        async with contextlib.AsyncExitStack() as stack:
            await lab._open(stack, target)
            lab._exit = stack.pop_all()
        return lab

    async def _open(self, stack: contextlib.AsyncExitStack, target: str) -> None:
        self._settings = IsolatedEnvironment.of_process().as_mapping()
        self._publisher.note_starts_for(self._settings)
        lease, secrets = await _leased(stack, self._settings)
        self._publisher.keep_secret((*secrets, *secrets_in(self._settings)))
        self.lease, self._spec, self._factory = lease, target, load_target(target)
        await self._factory.install(lease)
        opened = await stack.enter_async_context(self._factory(lease))
        if opened is None:
            raise TargetError(f"{target}: its __aenter__ returned None; let it return the target")
        self._publisher.keep_secret(_own_secrets(opened))
        self._seam = Seam(opened, self._running)
        self.witness = await stack.enter_async_context(Witness(lease))
        self._publisher.emit(
            LabOpened(
                area=self.area,
                environment=self.environment,
                target=opened.name,
                seed=self.seed,
                lease=lease.id,
                services=lease.services,
                libraries=tuple((name, importlib.metadata.version(name)) for name in _LIBRARIES),
                opened_at=time.time(),
            )
        )

    # The target: what it declared that it lacks skips the check that touches it -----------------

    @property
    def pipeline(self) -> Pipeline:
        """Area 1: agents run, bound to the caller."""
        return cast(Pipeline, self._seam.part(Capability.PIPELINE))

    @property
    def lifecycle(self) -> Lifecycle:
        """Area 1: the states of executions."""
        return cast(Lifecycle, self._seam.part(Capability.LIFECYCLE))

    @property
    def notifications(self) -> Notifications:
        """Area 2: delivery apart from the call."""
        return cast(Notifications, self._seam.part(Capability.NOTIFICATIONS))

    @property
    def sockets(self) -> Sockets:
        """Area 2: how the target speaks over WebSockets."""
        return cast(Sockets, self._seam.part(Capability.SOCKETS))

    @property
    def contexts(self) -> Contexts:
        """Area 3: contexts of users."""
        return cast(Contexts, self._seam.part(Capability.CONTEXTS))

    @property
    def data(self) -> DataAccess:
        """Area 4: data access for one user."""
        return cast(DataAccess, self._seam.part(Capability.DATA))

    @property
    def cache(self) -> Cache:
        """Area 5: the cache of each user."""
        return cast(Cache, self._seam.part(Capability.CACHE))

    @property
    def configuration(self) -> Configuration:
        """Area 6: settings."""
        return cast(Configuration, self._seam.part(Capability.CONFIGURATION))

    @property
    def routing(self) -> Routing:
        """Area 7: messages on their way."""
        return cast(Routing, self._seam.part(Capability.ROUTING))

    @property
    def tables(self) -> Tables:
        """Where the target's rows lie, for the witness; one that it has no table for skips."""
        return cast(Tables, self._seam.tables())

    @contextlib.asynccontextmanager
    async def connect(
        self,
        user: str,
        *,
        door: Door | None = None,
        token: Secret | None = None,
        login: Login = Login.HEADER,
    ) -> AsyncIterator[Socket]:
        """A WebSocket of the lab's own to a door of the target, as `user`, for the block.

        The door is the first one where none is named (for a proxy, `replace` its host and port),
        and the token the user's own. Raises `OSError` when nobody there speaks WebSocket.
        """
        sockets = self.sockets
        door = door or (await sockets.doors())[0]
        async with connected(sockets, door, token or sockets.token(user), login) as socket:
            yield socket

    def new_secret(self) -> Secret:
        """A random secret, for the target to keep; it is masked in all output from now on."""
        secret = Secret(token_urlsafe(_SECRET_BYTES))
        self._publisher.keep_secret((secret,))
        return secret

    # Beside the target --------------------------------------------------------------------------

    def own_server(self) -> AbstractAsyncContextManager[OwnServer]:
        """A PostgreSQL of the check's own, with the target on it, to be killed and brought back.

        Skips the check where no server can be started.
        """
        return guarded_block(self._own_server())

    @contextlib.asynccontextmanager
    async def _own_server(self) -> AsyncIterator[OwnServer]:
        starting = own_server(self.lease, self._factory, self._settings)
        async with or_skip(starting) as server:
            self._publisher.keep_secret(secrets_of(server.lease))
            yield server

    def own_redis(self) -> AbstractAsyncContextManager[OwnRedis]:
        """A Redis of the check's own, with the target on it, where the check makes the logins.

        Skips the check where no server can be started.
        """
        keep_secret = self._publisher.keep_secret
        starting = own_redis(self.lease, self._factory, self._settings, keep_secret=keep_secret)
        return guarded_block(or_skip(starting))

    def detoured(self) -> AbstractAsyncContextManager[Detoured]:
        """The target once more on the same lease, its ways to both servers led through proxies."""
        return guarded_block(self._detoured())

    @contextlib.asynccontextmanager
    async def _detoured(self) -> AsyncIterator[Detoured]:
        async with detours(self.lease, random=self.random) as ways:
            self._publisher.keep_secret(secrets_of(ways.lease))
            async with self._factory(ways.lease) as opened:
                self._publisher.keep_secret(_own_secrets(opened))
                target = guarded_target(opened, self._running)
                yield Detoured(ways.lease, ways.postgres, ways.redis, target)

    def hostage(self, user: str) -> AbstractAsyncContextManager[Hostage]:
        """A process of the target's, held in the middle of a transaction of `user`."""
        self._seam.require(Capability.DATA, "transaction")
        return guarded_block(hostage(self.lease, self._spec, user=user))

    def doomed_rename(
        self, user: str, thread: str, title: str
    ) -> AbstractAsyncContextManager[DoomedRename]:
        """A process of the target's, held between the commit of a rename and its invalidation."""
        self._seam.require(Capability.DATA, "rename_thread")
        self._seam.require(Capability.CACHE, "session")
        renaming = doomed_rename(
            self.lease,
            self._spec,
            user=user,
            thread=thread,
            title=title,
            witness=self.witness,
            table=self.tables.threads,
            random=self.random,
        )
        return guarded_block(renaming)

    def check(
        self, name: str, claim: str, *, deadline_s: float | None = None, isolation: bool = False
    ) -> Check:
        """A check, to be entered with `async with`; both texts must be literals in the notebook.

        One that claims `isolation` of users is never skipped for a target that has the part which
        it touches: it is broken then.
        """
        check = Check(
            name,
            claim,
            deadline_s=self._check_deadline_s if deadline_s is None else deadline_s,
            surroundings=self._publisher.surroundings,
            isolation=isolation,
        )
        self._checks.append(check)
        return check

    def _running(self) -> Check | None:
        return next((check for check in reversed(self._checks) if check.is_open), None)

    async def close(self) -> None:
        """Close what was opened, give the lease back and print the verdict.

        Raises `NotGreen` when any check is not green or none passed, so that every way of running
        the notebook fails with it. Closing again repeats the verdict alone.
        """
        if self._closed is None:
            await self._exit.aclose()
            outcomes = [_outcome(check) for check in self._checks]
            self._closed = LabClosed(worst(outcomes), time.time())
            self._publisher.emit(self._closed)
        self._raise_unless_green()

    def _raise_unless_green(self) -> None:
        outcomes = [_outcome(check) for check in self._checks]
        red = [
            f"{check.name} is {_outcome(check)}"
            for check in self._checks
            if not _outcome(check).is_green
        ]
        if red or Outcome.PASSED not in outcomes:
            raise NotGreen(f"{self.area}: {', '.join(red) or 'no check passed'}")


def _outcome(check: Check) -> Outcome:
    return check.record.outcome if check.record else Outcome.UNKNOWN


def _own_secrets(target: Target) -> tuple[Secret, ...]:
    """What a target may tell that it keeps to itself, beside the lease's secrets."""
    return tuple(getattr(target, "secrets", ()))


async def _leased(
    stack: contextlib.AsyncExitStack, settings: Mapping[str, str]
) -> tuple[Lease, tuple[Secret, ...]]:
    file = settings.get(handover.VARIABLE)
    if file is not None:
        given = handover.read_handover(Path(file))
        return given.lease, given.secrets
    services = await stack.enter_async_context(
        open_services(settings, cache=default_cache(settings))
    )
    lease = await stack.enter_async_context(take_lease(services))
    return lease, secrets_of(lease)


class Publisher:
    """Writes records and evidence where the notebook's reader sees them, without secrets."""

    def __init__(self) -> None:
        self._redactor = Redactor(())
        self._notes: Path | None = None
        self.surroundings = Surroundings(
            emit=self.emit,
            show=self.show,
            redact=self._redact,
            wall_clock=time.time,
        )

    def keep_secret(self, secrets: tuple[Secret, ...]) -> None:
        """Take these values out of all that the kernel sends from now on."""
        self._redactor = self._redactor.joined(secrets)
        shell: Any = get_ipython()
        kernel = getattr(shell, "kernel", None)
        if kernel is not None:
            guard_output(kernel.session, self._redactor)

    def note_starts_for(self, settings: Mapping[str, str]) -> None:
        """Note the checks that start for the run that this kernel belongs to, if it does."""
        file = settings.get(handover.VARIABLE)
        self._notes = None if file is None else Path(file).parent

    def _redact(self, text: str) -> str:
        return self._redactor.text(text)

    def emit(self, record: Record) -> None:
        """Display a record; as a line of text where there is no notebook."""
        if self._notes is not None and isinstance(record, CheckStarted):
            handover.note_start(self._notes, record)
        if get_ipython() is None:
            print(plain_text(record))  # noqa: T201
        else:
            display(mime_bundle(record), raw=True)

    def show(self, evidence: object) -> None:
        """Display a table or figure."""
        display(evidence)
