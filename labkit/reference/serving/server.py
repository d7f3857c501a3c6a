"""A server process's door: WebSockets for users who show a token, and a health answer.

A connection that fails takes nothing with it but itself: what was unexpected is logged, and it is
closed with 1011; overload, and a database or Redis that does not answer, with 1013.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self, cast

from websockets.asyncio import server as websockets
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from labkit.errors import Denied, ServiceUnavailable
from labkit.reference.events.drops import Drops
from labkit.reference.events.follower import Follower
from labkit.reference.events.replay import Replay
from labkit.reference.serving.client_socket import ClientSocket
from labkit.reference.serving.connection import Closing, Connection, ConnectionLimits, read_frame
from labkit.reference.serving.health import Health
from labkit.reference.serving.logs import fields
from labkit.reference.serving.requests import Requests
from labkit.reference.wire.frames import Authenticate, BadFrame
from labkit.reference.wire.tokens import Tokens
from labkit.targets.notifications import Door

_PATH: Final = "/"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """What brings events to a connection."""

    follower: Follower
    replay: Replay
    drops: Drops


class Server:
    """Listens on loopback while it is entered; leaving it tells all clients that it goes away."""

    def __init__(
        self,
        tokens: Tokens,
        requests: Requests,
        delivery: Delivery,
        health: Health,
        limits: ConnectionLimits | None = None,
        connections: type[Connection] = Connection,
    ) -> None:
        self._tokens = tokens
        self._requests = requests
        self._delivery = delivery
        self._health = health
        self._limits = limits or ConnectionLimits()
        self._connections = connections
        self._socket: socket.socket | None = None
        self._server: websockets.Server | None = None

    @property
    def door(self) -> Door:
        """Where it listens; raises `ServiceUnavailable` when it does not."""
        if self._socket is None:
            raise ServiceUnavailable("the server is not open: enter it first")
        host, port = self._socket.getsockname()
        return Door(host, port, _PATH)

    async def __aenter__(self) -> Self:
        limits = self._limits
        self._socket = socket.create_server(("127.0.0.1", 0))
        # What is accepted inherits these. A second small frame would wait for the acknowledgement
        # of the first, and megabytes for a client that is gone.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.buffer_bytes)
        self._server = await websockets.serve(
            self._handle,
            create_connection=ClientSocket,
            sock=self._socket,
            process_request=self._answer_http,
            compression=None,
            server_header=None,
            open_timeout=limits.login_s,
            ping_interval=limits.ping_every_s,
            ping_timeout=limits.pong_within_s,
            close_timeout=limits.close_s,
            max_size=limits.frame_bytes,
            logger=_quiet_logger(),
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._server:
            self._server.close()
            await asyncio.gather(
                *(one.close(1001, "going away") for one in self._server.connections)
            )
            await self._server.wait_closed()
            await self._requests.finish()
        self._server = self._socket = None

    async def _answer_http(
        self, client: websockets.ServerConnection, request: Request
    ) -> Response | None:
        """The answer to what asks for no WebSocket; None goes on with the handshake."""
        if request.path == _PATH:
            return None
        if request.path != "/health":
            return client.respond(HTTPStatus.NOT_FOUND, "there is nothing here\n")
        connections = len(self._server.connections) if self._server else 0
        report = await self._health.report(connections)
        is_well = report["status"] == "ok"
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        response = client.respond(status, f"{json.dumps(dict(report))}\n")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    async def _handle(self, connection: websockets.ServerConnection) -> None:
        """One client, from its handshake to its end; raises nothing."""
        client = cast(ClientSocket, connection)  # made by `create_connection`
        try:
            await self._serve(client, await self._user_of(client))
        except ConnectionClosed:
            _log.info("a client left before its login")
        except Closing as end:
            await client.close(end.code, end.reason)
        except (ServiceUnavailable, TimeoutError) as error:  # the latter of one slow statement
            _log.warning("a client cannot be served: %r", error)
            await client.close(1013, "overloaded: try again later")
        except Exception:  # noqa: BLE001 -- logged; the other clients are to be served on
            _log.exception("serving a client failed")
            await client.close(1011, "an error of the server")

    async def _serve(self, client: ClientSocket, user: str) -> None:
        delivery = self._delivery
        connection = self._connections(client, user, delivery.replay, delivery.drops, self._limits)
        facts = fields(connection=connection.id, user=user)
        _log.info("a connection begins", extra=facts)
        try:
            async with delivery.follower.following(user, connection.deliver):
                await connection.run(self._requests)
        except Closing as end:
            _log.info("a connection is closed with %d", end.code, extra=facts)
            raise
        _log.info("a connection ends", extra=facts)

    async def _user_of(self, client: ClientSocket) -> str:
        """Whose token the client shows; raises `Closing` when it shows none that is good."""
        headers = client.request.headers.get_all("Authorization") if client.request else []
        try:
            if not headers:
                return self._tokens.verify(await self._first_token(client))
            scheme, _, token = headers[0].partition(" ")
            if len(headers) > 1 or scheme.lower() != "bearer":
                raise Closing(1008, "one Authorization header must be there, with a Bearer token")
            return self._tokens.verify(token)
        except Denied as error:
            raise Closing(1008, str(error)) from error

    async def _first_token(self, client: ClientSocket) -> str:
        try:
            async with asyncio.timeout(self._limits.login_s):
                frame = read_frame(await client.recv())
        except TimeoutError:
            raise Closing(1008, f"no token within {self._limits.login_s:g} s") from None
        except BadFrame as error:
            raise Closing(1008, str(error)) from error
        if not isinstance(frame, Authenticate):
            raise Closing(1008, "the first frame must show a token")
        return frame.token.reveal()


def _quiet_logger() -> logging.Logger:
    """The library's own logger, which would write frames and headers if it were let."""
    logger = logging.getLogger(f"{__name__}.websockets")
    logger.setLevel(logging.ERROR)
    return logger
