"""gRPC dispatch: each request is logged, then answered by the method of the concern that has its name."""

from __future__ import annotations

import inspect
import logging
import re
import socket
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from grpclib import GRPCError, Status
from grpclib.const import Handler
from grpclib.exceptions import StreamTerminatedError
from grpclib.server import Server
from h2.exceptions import StreamClosedError
from modal_proto.api_grpc import ModalClientBase

from .changes import Changes

log = logging.getLogger(__name__)

calling_task: ContextVar[str] = ContextVar("calling_task", default="")
"""The container (task id) whose request is being answered; empty for the command line."""

_Skeleton = type("_Skeleton", (ModalClientBase,), dict.fromkeys(ModalClientBase.__abstractmethods__))


@dataclass(frozen=True)
class Request:
    """One request: the RPC's name, its message, and the container that sent it ("" for the command line)."""

    method: str
    message: Any
    task_id: str


def snake_case(rpc: str) -> str:
    """`AppGetLogs` as `app_get_logs`, the name of the method that answers it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()


class Service:
    """The table of RPCs, shared by the command line's listener and one listener for each container.

    Args:
        changes: told of every request.
    """

    def __init__(self, changes: Changes) -> None:
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self.unanswered: set[str] = set()
        self.watchers: list[Callable[[Request], None]] = []
        self._changes = changes
        self._methods: dict[str, Callable[[Any], Any]] = {}

    def add(self, concern: object) -> None:
        """Let every public method of `concern` that has an RPC's name answer that RPC."""
        for path in _Skeleton().__mapping__():
            name = snake_case(path.rpartition("/")[2])
            if hasattr(concern, name):
                self._methods[name] = getattr(concern, name)

    def servicer(self, task_id: str = "") -> _Servicer:
        """What a grpclib server serves to the container `task_id`, or to the command line."""
        return _Servicer(self, task_id)

    async def answer(self, rpc: str, task_id: str, stream: Any) -> None:
        """Log the stream's request and send what the concern's method returns, or yields."""
        message = await stream.recv_message()
        request = Request(rpc, message, task_id)
        self.requests.append(request)
        for watcher in self.watchers:
            watcher(request)
        self._changes.notify()
        method = self._methods.get(snake_case(rpc))
        if method is None:
            self.unanswered.add(rpc)
            raise GRPCError(Status.UNIMPLEMENTED, f"the Modal emulator does not answer {rpc}")
        calling_task.set(task_id)
        try:
            await _send(stream, method(message))
        except (GRPCError, StreamTerminatedError, StreamClosedError, ConnectionError):
            raise  # refused, or the caller is gone
        except Exception as error:
            log.exception("error while answering %s", rpc)
            self.errors.append(error)
            raise GRPCError(Status.INTERNAL, f"the Modal emulator failed at {rpc}: {error!r}") from error


async def listen(server: Server) -> int:
    """Start a gRPC server on a free loopback port and return the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start(sock=listener)
    port: int = listener.getsockname()[1]
    return port


async def _send(stream: Any, result: Any) -> None:
    if inspect.isasyncgen(result):
        async for reply in result:
            await stream.send_message(reply)
        return
    reply: Message = await result if inspect.isawaitable(result) else result
    await stream.send_message(reply)


class _Servicer:
    """The handlers of one listener: each knows whose requests it answers."""

    def __init__(self, service: Service, task_id: str) -> None:
        self._service = service
        self._task_id = task_id

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: handler._replace(func=self._handle(path.rpartition("/")[2]))
            for path, handler in _Skeleton().__mapping__().items()
        }

    def _handle(self, rpc: str) -> Callable[[Any], Any]:
        async def handle(stream: Any) -> None:
            await self._service.answer(rpc, self._task_id, stream)

        return handle
