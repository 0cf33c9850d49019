"""Containers: a real `modal._container_entrypoint` process each, with its own files, Volumes and listener."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from grpclib.server import Server
from modal_proto import api_pb2

from .calls import Input
from .changes import Changes
from .faults import Fault, Kind
from .functions import FunctionRecord, gpu_of
from .images import Images
from .isolation import ContainerRefusedError, container_command, namespace_command
from .logs import STDERR, STDOUT, Logs
from .mounts import Mounts
from .service import Service, listen
from .volumes import Volumes

ARGUMENTS = "__modal/arguments.bin"


@dataclass
class Container:
    """A container, from its being scheduled until its process has ended."""

    task_id: str
    record: FunctionRecord
    definition: api_pb2.Function
    folder: Path
    fault: Fault
    process: subprocess.Popen[bytes] | None = None
    inputs: dict[str, Input] = field(default_factory=dict)
    taken: int = 0
    """Inputs that it was handed so far."""
    stopping: bool = False
    """It gets no more inputs and ends once it has none."""
    ending: Kind | None = None
    """What was done to it."""
    start_failure: api_pb2.GenericResult | None = None
    """What it reported when it could not import the function."""
    exit_status: int | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def gpu(self) -> str:
        """The GPU that it was given of the function's list."""
        return gpu_of(self.definition)

    @property
    def single_use(self) -> bool:
        """Whether it ends after one input."""
        return self.definition.single_use_containers or self.definition.max_inputs == 1

    @property
    def slots(self) -> int:
        """How many inputs it can take now."""
        if self.stopping or self.ending is not None or (self.single_use and self.taken):
            return 0
        return max(1, self.definition.max_concurrent_inputs) - len(self.inputs)

    @property
    def killed(self) -> bool:
        """Whether it was killed without being asked first."""
        return self.ending in (Kind.LOSE, Kind.FAIL, Kind.TIME_OUT)

    def processes(self) -> list[int]:
        """Its processes' ids: those of its process group."""
        return [] if self.process is None else _group(self.process.pid)

    def interrupt(self) -> None:
        """Send SIGINT to its first process."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL to all its processes."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


class Containers:
    """Starts containers and follows them to their end.

    Args:
        folder: where their files are.
        environment: variables given to every container besides Modal's.
        line: told of every line that a container prints.
        ended: told of every container that has ended.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        service: Service,
        images: Images,
        mounts: Mounts,
        volumes: Volumes,
        logs: Logs,
        changes: Changes,
        line: Callable[[Container, str], None],
        ended: Callable[[Container], None],
    ) -> None:
        self.all: dict[str, Container] = {}
        self.unshare = namespace_command()
        """The command that gives a container its mount namespace; None where there is none."""
        self._folder = folder
        self._environment = dict(environment)
        self._service = service
        self._images = images
        self._mounts = mounts
        self._volumes = volumes
        self._logs = logs
        self._changes = changes
        self._line = line
        self._ended = ended

    def of_app(self, app_id: str) -> list[Container]:
        """The containers of an app that have not ended."""
        return [c for c in self.all.values() if c.record.app_id == app_id and c.exit_status is None]

    def of_function(self, function_id: str) -> list[Container]:
        """The containers of a function that have not ended."""
        return [c for c in self.all.values() if c.record.function_id == function_id and c.exit_status is None]

    async def run(self, container: Container, layout: api_pb2.AppLayout, secrets: Mapping[str, str]) -> None:
        """Run a container from the wait for its machine to its end."""
        server = Server([self._service.servicer(container.task_id)])
        listening = False
        try:
            if await self._changes.until(lambda: container.stopping, container.fault.delay):
                container.exit_status = 0
                return
            port = await listen(server)
            listening = True
            command, environment = self._prepare(container, layout, secrets, port)
            container.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            await self._follow(container)
        except Exception as error:
            if not isinstance(error, ContainerRefusedError):
                self._service.errors.append(error)
            container.start_failure = failure(f"The Modal emulator could not run the container: {error}")
            container.exit_status = 1
        finally:
            container.kill()
            if listening:
                server.close()
            for timer in container.timers:
                timer.cancel()
            self._volumes.detach(container.task_id)
            shutil.rmtree(container.folder, ignore_errors=True)
            self._ended(container)

    def _prepare(
        self, container: Container, layout: api_pb2.AppLayout, secrets: Mapping[str, str], port: int
    ) -> tuple[list[str], dict[str, str]]:
        """Lay out the container's files; return its command and environment."""
        definition = container.definition
        root = container.folder / "root"
        (root / "root").mkdir(parents=True)
        (root / "__modal").mkdir()
        self._mounts.lay_out(definition.mount_ids, root)
        volumes = {}
        for mount in definition.volume_mounts:
            copy = container.folder / "volumes" / mount.volume_id
            self._volumes.attach(container.task_id, mount.volume_id, copy)
            volumes[f"/__modal/volumes/{mount.volume_id}"] = copy
            link = root / mount.mount_path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"/__modal/volumes/{mount.volume_id}")
        arguments = api_pb2.ContainerArguments(
            task_id=container.task_id,
            function_id=container.record.function_id,
            app_id=container.record.app_id,
            function_def=definition,
            environment_name="main",
            app_layout=layout,
        )
        for mount in definition.volume_mounts:
            name = self._volumes.volumes[mount.volume_id].metadata()
            arguments.app_layout.objects.add(object_id=mount.volume_id, volume_metadata=name)
        (root / ARGUMENTS).write_bytes(arguments.SerializeToString())
        inside = Path("/") if self.unshare else root
        command = container_command(self.unshare, root, self._images.workdir(definition.image_id), volumes)
        environment = {
            "PATH": f"{os.environ.get('PATH', '/usr/local/bin:/usr/bin:/bin')}:/usr/sbin:/sbin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONPATH": "/root",
            "PYTHONUNBUFFERED": "1",
            "MODAL_SERVER_URL": f"http://127.0.0.1:{port}",
            "MODAL_IS_REMOTE": "1",
            "MODAL_TASK_ID": container.task_id,
            "MODAL_ENVIRONMENT": "main",
            "MODAL_CLOUD_PROVIDER": "CLOUD_PROVIDER_EMULATED",
            "MODAL_REGION": "local",
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(inside / ARGUMENTS),
            **self._environment,
            **self._images.environment(definition.image_id),
            **secrets,
        }
        return command, environment

    async def _follow(self, container: Container) -> None:
        """Pass on what the container prints until it ends; nothing of it outlives its first process."""
        process = container.process
        assert process is not None
        pumps = [
            asyncio.create_task(self._pump(container, process.stdout, STDOUT)),
            asyncio.create_task(self._pump(container, process.stderr, STDERR)),
        ]
        status = await _exit_status(process)
        container.kill()
        await asyncio.gather(*pumps)
        container.exit_status = status

    async def _pump(self, container: Container, pipe: IO[bytes] | None, descriptor: int) -> None:
        assert pipe is not None
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        rest = ""
        while chunk := await stream.read(65536):
            text = chunk.decode(errors="replace")
            self._write(container, text, descriptor)
            *lines, rest = re.split(r"[\r\n]", rest + text)
            for line in lines:
                self._line(container, line)
        transport.close()

    def _write(self, container: Container, text: str, descriptor: int) -> None:
        self._logs.write(
            container.record.app_id, container.task_id, container.record.function_id, text, descriptor
        )


async def _exit_status(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process, not for those of its children that still hold its pipes."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    threading.Thread(
        target=lambda: loop.call_soon_threadsafe(ended.set_result, process.wait()), daemon=True
    ).start()
    return await ended


def failure(cause: str) -> api_pb2.GenericResult:
    """The result of a run that failed for a cause outside the function."""
    return api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_FAILURE, exception=cause)


def _group(leader: int) -> list[int]:
    """The process ids of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == leader:
                    members.append(int(entry.name))
            except ProcessLookupError:
                continue
    return members
