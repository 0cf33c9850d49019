"""Apps, the environment and the client's session: created, published, left, stopped."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .changes import Ids
from .functions import Functions
from .images import BUILDER_VERSION


@dataclass
class App:
    """An app: a detached one outlives its client until its inputs are done, a deployed one until stopped."""

    app_id: str
    description: str
    state: int
    """`APP_STATE_EPHEMERAL`, `_DETACHED` or `_DEPLOYED`; `_STOPPED` in the end."""
    created_at: float = field(default_factory=time.time)
    connected: bool = True
    stopping: bool = False
    stopped_at: float = 0.0
    name: str = ""
    disconnects: list[api_pb2.AppClientDisconnectRequest] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether its containers have ended and its logs are complete."""
        return self.state == api_pb2.APP_STATE_STOPPED

    def close(self) -> None:
        """Mark it stopped."""
        self.state = api_pb2.APP_STATE_STOPPED
        self.stopped_at = time.time()


class Apps:
    """The registry of apps.

    Args:
        ids: makes identifiers.
        functions: the functions, for an app's layout.
        stop: stops an app's containers and ends its logs.
        left: told when the client of a detached app has left.
    """

    def __init__(
        self,
        ids: Ids,
        functions: Functions,
        stop: Callable[[App], Awaitable[None]],
        left: Callable[[App], None],
    ) -> None:
        self.apps: dict[str, App] = {}
        self._ids = ids
        self._functions = functions
        self._stop = stop
        self._left = left
        self._secrets: dict[str, dict[str, str]] = {}

    def secrets(self, secret_ids: list[str]) -> dict[str, str]:
        """The environment variables that the secrets hold."""
        return {name: value for key in secret_ids for name, value in self._secrets[key].items()}

    def client_hello(self, request: Empty) -> api_pb2.ClientHelloResponse:
        return api_pb2.ClientHelloResponse(image_builder_version=BUILDER_VERSION)

    def container_hello(self, request: Empty) -> Empty:
        return Empty()

    def environment_get_or_create(
        self, request: api_pb2.EnvironmentGetOrCreateRequest
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        """The one environment; without a builder version the client would refuse to make images."""
        settings = api_pb2.EnvironmentSettings(
            image_builder_version=BUILDER_VERSION, webhook_suffix="emulator"
        )
        metadata = api_pb2.EnvironmentMetadata(name=request.deployment_name or "main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-main", metadata=metadata)

    def environment_list(self, request: Empty) -> api_pb2.EnvironmentListResponse:
        item = api_pb2.EnvironmentListItem(name="main", default=True, environment_id="en-main")
        return api_pb2.EnvironmentListResponse(items=[item])

    def secret_get_or_create(
        self, request: api_pb2.SecretGetOrCreateRequest
    ) -> api_pb2.SecretGetOrCreateResponse:
        secret_id = self._ids("st")
        self._secrets[secret_id] = dict(request.env_dict)
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id)

    def app_create(self, request: api_pb2.AppCreateRequest) -> api_pb2.AppCreateResponse:
        app = App(self._ids("ap"), request.description, request.app_state)
        self.apps[app.app_id] = app
        page = f"http://127.0.0.1/apps/{app.app_id}"
        return api_pb2.AppCreateResponse(app_id=app.app_id, app_page_url=page, app_logs_url=page)

    def app_get_by_deployment_name(
        self, request: api_pb2.AppGetByDeploymentNameRequest
    ) -> api_pb2.AppGetByDeploymentNameResponse:
        found = [app for app in self.apps.values() if app.name == request.name and not app.stopped]
        response = api_pb2.AppGetByDeploymentNameResponse(environment_name="main")
        if found:
            response.app_id = found[-1].app_id
            response.lifecycle.CopyFrom(_lifecycle(found[-1]))
        return response

    def app_get_layout(self, request: api_pb2.AppGetLayoutRequest) -> api_pb2.AppGetLayoutResponse:
        return api_pb2.AppGetLayoutResponse(app_layout=self._functions.layout(request.app_id))

    def app_publish(self, request: api_pb2.AppPublishRequest) -> api_pb2.AppPublishResponse:
        app = self._app(request.app_id)
        app.name = request.name
        app.state = request.app_state
        return api_pb2.AppPublishResponse(url=f"http://127.0.0.1/apps/{app.app_id}", deployed_at=time.time())

    def app_heartbeat(self, request: api_pb2.AppHeartbeatRequest) -> Empty:
        return Empty()

    async def app_client_disconnect(self, request: api_pb2.AppClientDisconnectRequest) -> Empty:
        app = self._app(request.app_id)
        app.connected = False
        app.disconnects.append(request)
        if app.state == api_pb2.APP_STATE_EPHEMERAL:
            await self._stop(app)
        else:
            self._left(app)
        return Empty()

    async def app_stop(self, request: api_pb2.AppStopRequest) -> Empty:
        await self._stop(self._app(request.app_id))
        return Empty()

    def app_list(self, request: api_pb2.AppListRequest) -> api_pb2.AppListResponse:
        response = api_pb2.AppListResponse()
        for app in self.apps.values():
            response.apps.add(
                app_id=app.app_id,
                description=app.description,
                state=app.state,
                created_at=app.created_at,
                stopped_at=app.stopped_at,
                name=app.name,
            )
        return response

    def app_get_lifecycle(self, request: api_pb2.AppGetLifecycleRequest) -> api_pb2.AppGetLifecycleResponse:
        return api_pb2.AppGetLifecycleResponse(lifecycle=_lifecycle(self._app(request.app_id)))

    def _app(self, app_id: str) -> App:
        if app_id not in self.apps:
            raise GRPCError(Status.NOT_FOUND, f"no app {app_id}")
        return self.apps[app_id]


def _lifecycle(app: App) -> api_pb2.AppLifecycle:
    return api_pb2.AppLifecycle(app_state=app.state, created_at=app.created_at, stopped_at=app.stopped_at)
