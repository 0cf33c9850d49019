"""The emulator as a whole: started in a thread of the test process, driven and questioned by the test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from grpclib.server import Server

from .apps import App, Apps
from .blobs import Blobs
from .calls import Calls
from .changes import Changes, Ids
from .containers import Container, Containers
from .faults import Fault, Faults
from .functions import FunctionRecord, Functions
from .images import Images
from .logs import Logs
from .mounts import Mounts
from .scheduling import Scheduler
from .service import Request, Service, listen
from .volumes import Volumes
from .web import Web

PATIENCE = 120.0  # seconds that a test waits for something before it fails


class Emulator:
    """A Modal control plane on loopback ports; a context manager that leaves no process behind.

    Args:
        folder: for its files; must not exist.
        environment: variables given to every container besides Modal's own.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.url = ""
        self.changes = Changes()
        self.service = Service(self.changes)
        ids = Ids()
        self.images = Images()
        self.logs = Logs(self.changes)
        self.faults = Faults()
        self.blobs = Blobs(folder / "blobs", ids)
        self.mounts = Mounts(folder / "mounts", self.blobs, ids)
        self.web = Web(self.blobs)
        self.functions = Functions(ids, self.web.publish)
        containers = folder / "containers"
        self.scheduler = Scheduler(containers, ids, self.functions, self.faults, self.logs, self.changes)
        self.volumes = Volumes(folder / "volumes", self.blobs, ids, self.scheduler.processes)
        self.apps = Apps(ids, self.functions, self.scheduler.stop, self.scheduler.left)
        self.calls = Calls(ids, self.functions, self.changes, self.scheduler.enqueue, self.scheduler.cancel)
        self.containers = Containers(
            containers,
            environment or {},
            self.service,
            self.images,
            self.mounts,
            self.volumes,
            self.logs,
            self.changes,
            self.scheduler.striker.saw_line,
            self.scheduler.ended,
        )
        self.scheduler.apps, self.scheduler.calls = self.apps, self.calls
        self.scheduler.containers, self.web.calls = self.containers, self.calls
        self.service.watchers.append(self.scheduler.striker.saw_request)
        concerns = (self.images, self.logs, self.blobs, self.mounts, self.functions, self.volumes, self.apps)
        for concern in (*concerns, self.calls, self.scheduler):
            self.service.add(concern)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="modal-emulator")
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._stop: asyncio.Event | None = None
        self._clients: list[subprocess.Popen[str]] = []

    # The test's side.

    @property
    def isolation(self) -> str:
        """What keeps containers from the machine's files: "namespace", or else "import path"."""
        return "namespace" if self.containers.unshare else "import path"

    @property
    def environment(self) -> dict[str, str]:
        """The environment for the `modal` command line: this server, a token, none of the user's settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MODAL_")}
        return {
            **inherited,
            "MODAL_SERVER_URL": self.url,
            "MODAL_TOKEN_ID": "ak-emulator",
            "MODAL_TOKEN_SECRET": "as-emulator",
            "MODAL_CONFIG_PATH": str(self.folder / "modal.toml"),
            "MODAL_LOGS_TIMEOUT": str(PATIENCE),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start `modal ARGUMENTS`, its output in one pipe; ended with the emulator at the latest."""
        # A parent that ignores SIGINT (a background job of a shell) would have the client ignore it too.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "modal", *arguments]
        client = subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._clients.append(client)
        return client

    def modal(self, *arguments: str, cwd: Path | None = None, timeout: float = PATIENCE) -> tuple[int, str]:
        """Run `modal ARGUMENTS` to its end; return its exit status and all that it printed."""
        client = self.start(*arguments, cwd=cwd)
        try:
            output, _ = client.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            client.kill()
            output, _ = client.communicate()
            raise AssertionError(f"modal {' '.join(arguments)} took over {timeout} s:\n{output}") from None
        return client.returncode, output

    def plan(self, function: str, *faults: Fault) -> None:
        """Give the next containers of a function these faults, one each."""
        self.faults.plan(function, faults)

    def requests(self, method: str, task_id: str | None = None) -> list[Any]:
        """The messages of the requests to an RPC; of all, or of one container ("": the command line)."""
        found: Iterable[Request] = list(self.service.requests)
        return [r.message for r in found if r.method == method and task_id in (None, r.task_id)]

    def runs(self, function: str) -> list[Container]:
        """The containers of a function, in the order in which they started."""
        return [run for run in list(self.containers.all.values()) if run.record.name == function]

    def function(self, name: str) -> FunctionRecord:
        """The latest function of a name: its definitions, its GPUs."""
        return self.functions.named(name)

    def app(self) -> App:
        """The app created last."""
        return list(self.apps.apps.values())[-1]

    def published(self, volume: str) -> Path:
        """The folder with what is committed to a Volume; to read."""
        return self.volumes.named(volume).published

    def wait(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """Wait until `condition()` is true.

        Raises:
            AssertionError: it was not within `timeout` seconds; says `what`, and what was printed.
        """
        if not self.changes.wait(condition, timeout):
            raise AssertionError(
                f"not within {timeout} s: {what}; the containers printed:\n{self.logs.text()}"
            )

    # The server's side.

    def __enter__(self) -> Emulator:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *exception: object) -> None:
        for client in self._clients:
            client.kill()
            client.wait()
            if client.stdout is not None:
                client.stdout.close()
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        except Exception as error:
            self._failure = error
        finally:
            self._started.set()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        server = Server([self.service.servicer()])
        self.url = f"http://127.0.0.1:{await listen(server)}"
        await self.blobs.start()
        self._started.set()
        await self._stop.wait()
        await self.scheduler.shut_down()
        server.close()
        await server.wait_closed()
        await self.web.stop()
        await self.blobs.stop()
