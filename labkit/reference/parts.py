"""What the platform is made of; each part can be replaced by a subclass of it."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.reference.cache.entries import TitleEntries
from labkit.reference.cache.invalidation import Invalidation
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import RedisClient
from labkit.reference.cache.titles import Titles
from labkit.reference.cache.user_cache import UserCache
from labkit.reference.contexts.session_contexts import SessionContexts
from labkit.reference.contexts.sessions import Sessions
from labkit.reference.data.history import History
from labkit.reference.data.pool import Pool
from labkit.reference.data.schema import Schema
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.events.drops import Drops
from labkit.reference.events.follower import Follower
from labkit.reference.events.relay import Relay
from labkit.reference.events.replay import Replay
from labkit.reference.events.streams import Streams
from labkit.reference.routing.messages import MessageRouting
from labkit.reference.routing.quality import Quality
from labkit.reference.serving.connection import Connection
from labkit.reference.serving.health import Health
from labkit.reference.serving.server import Server
from labkit.reference.wire.tokens import Tokens
from labkit.reference.workshop import WorkshopParts


@dataclass(frozen=True)
class Parts(WorkshopParts):
    """The classes that a platform is assembled from, in its server processes and beside them."""

    schema: type[Schema] = Schema
    pool: type[Pool] = Pool
    transactions: type[UserTransaction] = UserTransaction
    store: type[Store] = Store
    history: type[History] = History
    keyspace: type[KeySpace] = KeySpace
    redis: type[RedisClient] = RedisClient
    title_entries: type[TitleEntries] = TitleEntries
    invalidation: type[Invalidation] = Invalidation
    titles: type[Titles] = Titles
    cache: type[UserCache] = UserCache
    sessions: type[Sessions] = Sessions
    contexts: type[SessionContexts] = SessionContexts
    quality: type[Quality] = Quality
    routing: type[MessageRouting] = MessageRouting
    tokens: type[Tokens] = Tokens
    streams: type[Streams] = Streams
    follower: type[Follower] = Follower
    replay: type[Replay] = Replay
    relay: type[Relay] = Relay
    drops: type[Drops] = Drops
    connection: type[Connection] = Connection
    health: type[Health] = Health
    server: type[Server] = Server
    configuration: str = "labkit.reference.configuration.parts:ConfigurationParts"
    """The name of a `ConfigurationParts`, since those are slow to load and seldom needed."""
