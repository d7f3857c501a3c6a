"""The seam: what a platform offers the lab, one Protocol per area.

Rules of the seam:

- every method that acts takes the user for whom it acts, or is one of a `Context`, which is that
  user's; ids are opaque strings here;
- a refusal is `labkit.errors.Denied` (not yours, or not there) or `labkit.errors.Rejected` (not
  valid), never another error and never a silent nothing;
- what a target lacks it declares before the run, with a reason, in `lacks`; the lab then skips the
  checks that touch it. An undeclared gap is an error of the target (`NotDeclared`);
- the witness is not the target: it only learns here where the target's rows and keys lie.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

from labkit.services.endpoints import Lease
from labkit.targets.cache import Cache
from labkit.targets.configuration import Configuration
from labkit.targets.contexts import Contexts
from labkit.targets.data import DataAccess
from labkit.targets.notifications import Notifications, Sockets
from labkit.targets.pipeline import Lifecycle, Pipeline
from labkit.targets.routing import Routing


class Capability(enum.StrEnum):
    """What a target can offer: a part, or one member of it, as its Protocol has them.

    The members of the `Context` that `contexts.open` yields stand under `contexts` as well.
    """

    PIPELINE = "pipeline"
    PIPELINE_RUN = "pipeline.run"
    PIPELINE_RUNS = "pipeline.runs"
    PIPELINE_HISTORY = "pipeline.history"
    PIPELINE_RESUME = "pipeline.resume"
    LIFECYCLE = "lifecycle"
    LIFECYCLE_CREATE = "lifecycle.create"
    LIFECYCLE_MOVE = "lifecycle.move"
    NOTIFICATIONS = "notifications"
    NOTIFICATIONS_SUBMIT = "notifications.submit"
    NOTIFICATIONS_ATTACH = "notifications.attach"
    SOCKETS = "sockets"
    SOCKETS_DOORS = "sockets.doors"
    SOCKETS_TOKEN = "sockets.token"  # noqa: S105 - the name of a method
    SOCKETS_HEADERS = "sockets.headers"
    SOCKETS_FIRST_FRAME = "sockets.first_frame"
    SOCKETS_MESSAGE = "sockets.message"
    SOCKETS_RESUME = "sockets.resume"
    SOCKETS_QUALITY = "sockets.quality"
    SOCKETS_READ = "sockets.read"
    SOCKETS_LIMITS = "sockets.limits"
    CONTEXTS = "contexts"
    CONTEXTS_OPEN = "contexts.open"
    CONTEXTS_REVOKE = "contexts.revoke"
    CONTEXTS_ID = "contexts.id"
    CONTEXTS_USER = "contexts.user"
    CONTEXTS_SESSION = "contexts.session"
    CONTEXTS_IS_ACTIVE = "contexts.is_active"
    CONTEXTS_CREATE_THREAD = "contexts.create_thread"
    CONTEXTS_THREADS = "contexts.threads"
    CONTEXTS_MESSAGES = "contexts.messages"
    CONTEXTS_WRITE = "contexts.write"
    CONTEXTS_REMEMBER = "contexts.remember"
    CONTEXTS_RECALL = "contexts.recall"
    CONTEXTS_SUBMIT = "contexts.submit"
    CONTEXTS_RUNS = "contexts.runs"
    CONTEXTS_RESUME = "contexts.resume"
    DATA = "data"
    DATA_TRANSACTION = "data.transaction"
    DATA_SERIALIZABLE = "data.serializable"
    DATA_CREATE_USER = "data.create_user"
    DATA_CREATE_THREAD = "data.create_thread"
    DATA_THREADS = "data.threads"
    DATA_RENAME_THREAD = "data.rename_thread"
    DATA_DELETE_THREAD = "data.delete_thread"
    DATA_ADD_MESSAGE = "data.add_message"
    DATA_OPEN_ACCOUNT = "data.open_account"
    DATA_TRANSFER = "data.transfer"
    DATA_START_EXECUTION = "data.start_execution"
    DATA_COMPLETE_EXECUTION = "data.complete_execution"
    DATA_SESSION = "data.session"
    DATA_POOL_SIZE = "data.pool_size"
    CACHE = "cache"
    CACHE_READ = "cache.read"
    CACHE_WRITE = "cache.write"
    CACHE_TTL_MS = "cache.ttl_ms"
    CACHE_EXTEND = "cache.extend"
    CACHE_INCREMENT = "cache.increment"
    CACHE_INVALIDATE = "cache.invalidate"
    CACHE_INVALIDATE_ALL = "cache.invalidate_all"
    CACHE_SESSION = "cache.session"
    CACHE_PREFIX = "cache.prefix"
    CONFIGURATION = "configuration"
    CONFIGURATION_VARIABLE = "configuration.variable"
    CONFIGURATION_FILE = "configuration.file"
    CONFIGURATION_LOAD = "configuration.load"
    CONFIGURATION_CONNECTED = "configuration.connected"
    CONFIGURATION_UPDATE = "configuration.update"
    CONFIGURATION_ROLL_BACK = "configuration.roll_back"
    CONFIGURATION_HISTORY = "configuration.history"
    CONFIGURATION_SEEN_BY = "configuration.seen_by"
    CONFIGURATION_NOTICES = "configuration.notices"
    CONFIGURATION_PROOFS = "configuration.proofs"
    CONFIGURATION_STOP = "configuration.stop"
    CONFIGURATION_START = "configuration.start"
    ROUTING = "routing"
    ROUTING_SEND = "routing.send"
    ROUTING_MESSAGES = "routing.messages"
    ROUTING_REPORT = "routing.report"
    ROUTING_METRICS = "routing.metrics"

    @property
    def part(self) -> str:
        """The name of the target's attribute that it is, or is a member of."""
        return self.value.partition(".")[0]


_YIELDED: Final = f"{Capability.CONTEXTS_OPEN}."


def need_at(path: str) -> str:
    """What touching a path needs: `contexts.remember` for `contexts.open.remember`, else itself."""
    member = path.removeprefix(_YIELDED)
    return path if member == path else f"{Capability.CONTEXTS}.{member}"


def capability_at(path: str) -> Capability:
    """The finest capability by which a target can declare that it lacks what lies at a path."""
    need = need_at(path)
    while need not in set(Capability):
        need = need.rpartition(".")[0]
    return Capability(need)


@dataclass(frozen=True)
class Tables:
    """Where the target's rows lie: tables, or views, with at least the columns that are named.

    What a target has no table for stays empty, and a check that looks there is skipped.
    """

    users: str
    """id"""
    threads: str
    """id, user_id, title"""
    messages: str
    """id, user_id, thread_id, role, text, call_id, position"""
    executions: str
    """id, user_id, thread_id, message_id, status, input, output, error_kind, error_text …"""
    accounts: str
    """id, user_id, balance"""
    execution_states: str = ""
    """execution_id, user_id, state, at, position"""
    tool_calls: str = ""
    """id, execution_id, user_id, name, argument, result, status"""
    notes: str = ""
    """What tools write: id, user_id, thread_id, text"""
    stages: str = ""
    """message_id, user_id, stage, at"""
    sessions: str = ""
    """id, user_id, expires_at, revoked_at, ended_at"""


class Described(Protocol):
    """What a target says of itself, which is known before anything opens."""

    @property
    def name(self) -> str:
        """What reports call the target."""
        ...

    @property
    def lacks(self) -> Mapping[Capability, str]:
        """What the target lacks, each with the reason."""
        ...

    @property
    def tables(self) -> Tables:
        """Where its rows lie in the leased database."""
        ...


class Target(Described, Protocol):
    """A platform under test, opened on one lease; leaving it closes all it opened.

    A part that it lacks need not be there: it declares that in `lacks`. One that has secrets of its
    own beside the lease's tells them in `secrets`, a sequence of `Secret`, and nothing shows them.
    """

    @property
    def pipeline(self) -> Pipeline:
        """Area 1: agents run, bound to the caller."""
        ...

    @property
    def lifecycle(self) -> Lifecycle:
        """Area 1: the states of executions."""
        ...

    @property
    def notifications(self) -> Notifications:
        """Area 2: delivery apart from the call."""
        ...

    @property
    def sockets(self) -> Sockets:
        """Area 2: how it speaks over WebSockets."""
        ...

    @property
    def contexts(self) -> Contexts:
        """Area 3."""
        ...

    @property
    def data(self) -> DataAccess:
        """Area 4."""
        ...

    @property
    def cache(self) -> Cache:
        """Area 5."""
        ...

    @property
    def configuration(self) -> Configuration:
        """Area 6."""
        ...

    @property
    def routing(self) -> Routing:
        """Area 7."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...


class TargetFactory(Described, Protocol):
    """What `package.module:Class` names: called with the lease, it gives the target."""

    async def install(self, lease: Lease) -> None:
        """Make the platform's schema in the leased database, as its owner; harmless twice."""
        ...

    def __call__(self, lease: Lease) -> Target:
        """A target on the lease, not yet opened."""
        ...
