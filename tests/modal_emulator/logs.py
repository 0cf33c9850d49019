"""Logs: what the containers print, streamed to the command line and kept for the tests."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator

from modal_proto import api_pb2

from .changes import Changes

STDOUT = api_pb2.FILE_DESCRIPTOR_STDOUT
STDERR = api_pb2.FILE_DESCRIPTOR_STDERR


class Logs:
    """Log batches of each app, in order; an app's stream ends when it is marked done."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._batches: dict[str, list[api_pb2.TaskLogsBatch]] = defaultdict(list)
        self._done: set[str] = set()

    def write(self, app_id: str, task_id: str, function_id: str, text: str, descriptor: int = STDOUT) -> None:
        """Append text of a container. `task_state` stays unset: the client drops the text beside one."""
        item = api_pb2.TaskLogs(data=text, timestamp=time.time(), file_descriptor=descriptor)
        batch = api_pb2.TaskLogsBatch(
            task_id=task_id,
            function_id=function_id,
            items=[item],
            entry_id=f"{len(self._batches[app_id]) + 1}-0",
        )
        self._batches[app_id].append(batch)
        self._changes.notify()

    def finish(self, app_id: str) -> None:
        """End the app's stream: nothing is written to it from now on."""
        self._done.add(app_id)
        self._changes.notify()

    def text(self, app_id: str | None = None, task_id: str | None = None) -> str:
        """All that was printed, of one app or container or of all."""
        return "".join(
            item.data
            for app, batches in list(self._batches.items())
            for batch in list(batches)
            for item in batch.items
            if app_id in (None, app) and task_id in (None, batch.task_id)
        )

    async def app_get_logs(self, request: api_pb2.AppGetLogsRequest) -> AsyncIterator[api_pb2.TaskLogsBatch]:
        batches = self._batches[request.app_id]
        position = int(request.last_entry_id.partition("-")[0] or 0)
        deadline = asyncio.get_running_loop().time() + request.timeout
        while True:
            while position < len(batches):
                position += 1
                yield batches[position - 1]
            if request.app_id in self._done:
                yield api_pb2.TaskLogsBatch(app_done=True)
                return
            remaining = deadline - asyncio.get_running_loop().time()
            start = position
            if not await self._changes.until(
                lambda start=start: len(batches) > start or request.app_id in self._done, max(0.0, remaining)
            ):
                return

    def app_fetch_logs(self, request: api_pb2.AppFetchLogsRequest) -> api_pb2.AppFetchLogsResponse:
        return api_pb2.AppFetchLogsResponse(batches=self._batches[request.app_id][-request.limit :])
