"""Scheduling: inputs to containers, outputs back, retries, rescheduling, the end of apps."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .apps import App, Apps
from .calls import Call, Calls, Input
from .changes import Changes, Ids
from .containers import Container, Containers, failure
from .faults import Faults, Kind
from .functions import FunctionRecord, Functions
from .logs import Logs
from .service import calling_task
from .striking import STOP_GRACE, Striker, later

_Result = api_pb2.GenericResult


class Scheduler:
    """Decides which container runs which input.

    The other concerns are set after it is made, as they report to it: `apps`, `calls`, `containers`.
    """

    apps: Apps
    calls: Calls
    containers: Containers

    def __init__(
        self, folder: Path, ids: Ids, functions: Functions, faults: Faults, logs: Logs, changes: Changes
    ):
        self.striker = Striker(lambda task_id: self.containers.all.get(task_id))
        self._faults = faults
        self._folder = folder
        self._ids = ids
        self._functions = functions
        self._logs = logs
        self._changes = changes
        self._queues: dict[str, deque[Input]] = defaultdict(deque)
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs: set[asyncio.Task[None]] = set()

    # From the calls.

    def enqueue(self, item: Input) -> None:
        """Take an input in, and start a container for it if the running ones have no place."""
        record = item.call.record
        if self.apps.apps[record.app_id].stopping:
            self.calls.finish(item, _Result(status=_Result.GENERIC_STATUS_TERMINATED), 0)
            return
        self._queues[record.function_id].append(item)
        self._scale(record)
        self._changes.notify()

    def cancel(self, call: Call) -> None:
        """Drop a call's waiting inputs and interrupt the containers of its running ones."""
        for item in call.inputs:
            if not item.done:
                self._drop(item)

    # From the containers.

    async def function_get_inputs(
        self, request: api_pb2.FunctionGetInputsRequest
    ) -> api_pb2.FunctionGetInputsResponse:
        """Wait for an input for the container that asks; tell it to end when its app has stopped."""
        container = self.containers.all[calling_task.get()]
        queue = self._queues[container.record.function_id]
        await self._changes.until(lambda: container.stopping or (queue and container.slots > 0))
        response = api_pb2.FunctionGetInputsResponse()
        if container.stopping:
            response.inputs.add(kill_switch=True)
            return response
        item = queue.popleft()
        item.task_ids.append(container.task_id)
        item.running_in = container.task_id
        container.inputs[item.input_id] = item
        container.taken += 1
        self.striker.arm(container, item)
        response.inputs.add(
            input_id=item.input_id,
            input=item.payload,
            function_call_id=item.call.call_id,
            function_call_invocation_type=item.call.invocation,
            retry_count=item.failures,
        )
        return response

    def function_put_outputs(self, request: api_pb2.FunctionPutOutputsRequest) -> Empty:
        """Take outputs; one of a container that no longer has the input is ignored."""
        container = self.containers.all[calling_task.get()]
        for output in request.outputs:
            item = container.inputs.get(output.input_id)
            if item is None or container.killed:
                continue
            del container.inputs[output.input_id]
            if output.result.status == _Result.GENERIC_STATUS_SUCCESS:
                self._finish(item, output.result, output.data_format)
            else:
                self._fail(item, output.result, output.data_format)
            self._scale(container.record)
        return Empty()

    def container_heartbeat(
        self, request: api_pb2.ContainerHeartbeatRequest
    ) -> api_pb2.ContainerHeartbeatResponse:
        return api_pb2.ContainerHeartbeatResponse()

    def container_stop(self, request: api_pb2.ContainerStopRequest) -> api_pb2.ContainerStopResponse:
        container = self.containers.all[request.task_id]
        if request.graceful:
            container.stopping = True
            self._changes.notify()
        else:
            self.striker.strike(container, Kind.PREEMPT)
        return api_pb2.ContainerStopResponse()

    def task_list(self, request: api_pb2.TaskListRequest) -> api_pb2.TaskListResponse:
        response = api_pb2.TaskListResponse()
        for app_id in [request.app_id] if request.app_id else self.apps.apps:
            for container in self.containers.of_app(app_id):
                response.tasks.add(task_id=container.task_id, app_id=app_id)
        return response

    def task_result(self, request: api_pb2.TaskResultRequest) -> Empty:
        self.containers.all[calling_task.get()].start_failure = request.result
        return Empty()

    def processes(self, task_id: str) -> list[int]:
        """The processes of a container that may still act.

        Raises:
            GRPCError: it was killed before its request took effect.
        """
        container = self.containers.all[task_id]
        if container.killed:
            raise GRPCError(Status.UNAVAILABLE, "the container was killed")
        return container.processes()

    def ended(self, container: Container) -> None:
        """Settle the inputs that a container left behind."""
        left = list(container.inputs.values())
        container.inputs.clear()
        for item in left:
            self._settle(container, item)
        cause = container.start_failure
        if cause is None and not (container.taken or container.ending or container.stopping):
            cause = failure(
                f"The container ended with status {container.exit_status} before it took an input"
            )
        queue = self._queues[container.record.function_id]
        while cause is not None and queue:
            self._finish(queue.popleft(), cause, 0)
        self._scale(container.record)
        self._changes.notify()

    # Apps.

    async def stop(self, app: App) -> None:
        """Stop an app: its waiting inputs are dropped, its containers end, then its logs do."""
        if app.stopping:
            return
        app.stopping = True
        for queue in list(self._queues.values()):
            for item in [item for item in queue if item.call.record.app_id == app.app_id]:
                self._drop(item)
        for container in self.containers.of_app(app.app_id):
            container.stopping = True
            if container.inputs:
                container.interrupt()
            later(container, STOP_GRACE, container.kill)
        self._changes.notify()
        _spawn(self._close(app), self._tasks)

    def left(self, app: App) -> None:
        """The client of a detached app has left: the app stops once it has nothing to do."""
        busy = any(
            not call.finished for call in self.calls.calls.values() if call.record.app_id == app.app_id
        )
        if app.state == api_pb2.APP_STATE_DETACHED and not app.connected and not busy:
            _spawn(self.stop(app), self._tasks)

    async def shut_down(self) -> None:
        """Kill what runs and wait for it."""
        for app in self.apps.apps.values():
            app.stopping = True
        for container in self.containers.all.values():
            container.stopping = True
            container.kill()
        self._changes.notify()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._runs, return_exceptions=True)

    # Inputs and containers.

    def _scale(self, record: FunctionRecord) -> None:
        """Start containers for the inputs that the running ones have no place for."""
        if self.apps.apps[record.app_id].stopping:
            return
        running = self.containers.of_function(record.function_id)
        free = sum(container.slots for container in running)
        taking = sum(container.slots > 0 or bool(container.inputs) for container in running)
        settings = record.definition.autoscaler_settings
        limit = settings.max_containers or 2**31
        while free < len(self._queues[record.function_id]) and taking < limit:
            container = self._start(record)
            free += container.slots
            taking += 1

    def _start(self, record: FunctionRecord) -> Container:
        task_id = self._ids("ta")
        definition = self._functions.choose(record)
        fault = self._faults.next(record.name)
        container = Container(task_id, record, definition, self._folder / task_id, fault)
        self.containers.all[task_id] = container
        layout = self._functions.layout(record.app_id)
        secrets = self.apps.secrets(list(definition.secret_ids))
        _spawn(self.containers.run(container, layout, secrets), self._runs)
        return container

    def _settle(self, container: Container, item: Input) -> None:
        """Decide what becomes of an input whose container ended before it had an output."""
        app = self.apps.apps[container.record.app_id]
        if app.stopping:
            self._finish(item, _Result(status=_Result.GENERIC_STATUS_TERMINATED), 0)
        elif container.ending in (Kind.PREEMPT, Kind.LOSE):
            item.running_in = ""
            self._queues[container.record.function_id].appendleft(item)
        elif container.ending is Kind.TIME_OUT:
            text = f"Function call exceeded its timeout of {container.definition.timeout_secs} seconds"
            self._fail(item, _Result(status=_Result.GENERIC_STATUS_TIMEOUT, exception=text), 0)
        else:
            cause = "was killed" if container.ending else f"ended with status {container.exit_status}"
            self._fail(item, failure(f"The container {cause} before the function had returned"), 0)

    def _fail(self, item: Input, result: api_pb2.GenericResult, data_format: int) -> None:
        """Count a failure: retry while the function's policy allows it, else give the client the result."""
        policy = item.call.record.definition.retry_policy
        terminated = result.status == _Result.GENERIC_STATUS_TERMINATED
        item.failures += 1
        item.running_in = ""
        if terminated or item.call.client_retries or item.failures > policy.retries:
            self._finish(item, result, data_format)
            return
        growth = policy.backoff_coefficient ** (item.failures - 1)
        delay = min(policy.initial_delay_ms * growth, policy.max_delay_ms or float("inf")) / 1000
        _spawn(self._retry(item, delay), self._tasks)

    async def _retry(self, item: Input, delay: float) -> None:
        await asyncio.sleep(delay)
        self.enqueue(item)

    def _finish(self, item: Input, result: api_pb2.GenericResult, data_format: int) -> None:
        item.running_in = ""
        self.calls.finish(item, result, data_format)
        self.left(self.apps.apps[item.call.record.app_id])

    def _drop(self, item: Input) -> None:
        if item.running_in:
            container = self.containers.all[item.running_in]
            container.inputs.pop(item.input_id, None)
            self.striker.strike(container, Kind.PREEMPT)
        elif item in self._queues[item.call.record.function_id]:
            self._queues[item.call.record.function_id].remove(item)
        self._finish(item, _Result(status=_Result.GENERIC_STATUS_TERMINATED, exception="canceled"), 0)

    async def _close(self, app: App) -> None:
        await self._changes.until(lambda: not self.containers.of_app(app.app_id))
        app.close()
        self._logs.finish(app.app_id)


def _spawn(work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
