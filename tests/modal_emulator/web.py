"""Web functions: HTTP requests relayed to a container as ASGI messages, each as a call of the function."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator

from aiohttp import web
from modal_proto import api_pb2

from .blobs import Blobs
from .calls import Call, Calls
from .functions import FunctionRecord

ASGI = api_pb2.DATA_FORMAT_ASGI


class Web:
    """One loopback HTTP listener for each web function.

    `calls`, which relies on the functions and these on this, is set after it is made.

    Args:
        blobs: where containers put large responses.
    """

    calls: Calls

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._runners: list[web.AppRunner] = []

    async def publish(self, record: FunctionRecord) -> str:
        """Start a listener whose requests call the function; return its URL."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._relay(record, request)

        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the listeners."""
        for runner in self._runners:
            await runner.cleanup()

    async def _relay(self, record: FunctionRecord, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = self.calls.create(record)
        message = api_pb2.Asgi(http_request=api_pb2.Asgi.HttpRequest(body=body, more_body=False))
        call.data_in.append(api_pb2.DataChunk(index=1, data_format=ASGI, data=message.SerializeToString()))
        payload = api_pb2.FunctionInput(
            args=pickle.dumps(((_scope(request),), {})), data_format=api_pb2.DATA_FORMAT_PICKLE
        )
        self.calls.put(call, api_pb2.FunctionPutInputsItem(idx=0, input=payload))
        response: web.StreamResponse | None = None
        async for answer in self._answers(call):
            if answer.WhichOneof("type") == "http_response_start":
                response = web.StreamResponse(status=answer.http_response_start.status)
                headers = answer.http_response_start.headers
                for name, value in zip(headers[::2], headers[1::2], strict=True):
                    response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
                await response.prepare(request)
            elif answer.WhichOneof("type") == "http_response_body" and response is not None:
                await response.write(answer.http_response_body.body)
                if not answer.http_response_body.more_body:
                    break
        if response is None:
            raise web.HTTPInternalServerError(text="the web function ended without a response")
        await response.write_eof()
        return response

    async def _answers(self, call: Call) -> AsyncIterator[api_pb2.Asgi]:
        async for chunk in self.calls.stream(call, call.data_out):
            blob = chunk.data_blob_id
            yield api_pb2.Asgi.FromString(self._blobs.path(blob).read_bytes() if blob else chunk.data)


def _scope(request: web.Request) -> dict[str, object]:
    """The request as an ASGI HTTP connection scope."""
    host, port = request.transport.get_extra_info("peername")[:2] if request.transport else ("127.0.0.1", 0)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.raw_path.partition("?")[0].encode(),
        "root_path": "",
        "query_string": request.query_string.encode(),
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": (host, port),
        "server": ("127.0.0.1", request.url.port or 80),
    }
