"""Functions: their definitions, the ordered GPU choice, and the layout of an app for its containers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .changes import Ids


@dataclass
class FunctionRecord:
    """A function of an app, as precreated and then as created."""

    function_id: str
    app_id: str
    name: str
    handle: api_pb2.FunctionHandleMetadata
    ranked: list[api_pb2.Function] = field(default_factory=list)
    """The definitions in order of preference: one for each GPU of the list; a single one without a list."""

    @property
    def definition(self) -> api_pb2.Function:
        """The preferred definition."""
        return self.ranked[0]

    @property
    def gpus(self) -> list[str]:
        """The GPUs asked for, in order of preference, as `TYPE` or `TYPE:COUNT`."""
        return [gpu_of(definition) for definition in self.ranked if gpu_of(definition)]


def gpu_of(definition: api_pb2.Function) -> str:
    """The GPU of a definition as written in `gpu=`; empty without one."""
    gpu = definition.resources.gpu_config
    return f"{gpu.gpu_type}:{gpu.count}" if gpu.count > 1 else gpu.gpu_type


class Functions:
    """The registry of functions.

    Args:
        ids: makes identifiers.
        publish: given the record of a web function, starts its HTTP listener and returns the URL.
    """

    def __init__(self, ids: Ids, publish: Callable[[FunctionRecord], Awaitable[str]]) -> None:
        self.records: dict[str, FunctionRecord] = {}
        self.unavailable_gpus: set[str] = set()
        self._ids = ids
        self._publish = publish

    def choose(self, record: FunctionRecord) -> api_pb2.Function:
        """The first definition whose GPU can be had; the last when none can."""
        available = [d for d in record.ranked if gpu_of(d) not in self.unavailable_gpus]
        return (available or record.ranked[-1:])[0]

    def named(self, name: str) -> FunctionRecord:
        """The latest function of this name."""
        return [record for record in self.records.values() if record.name == name][-1]

    def layout(self, app_id: str) -> api_pb2.AppLayout:
        """The functions of an app and the objects they depend on."""
        layout = api_pb2.AppLayout()
        for record in self.records.values():
            if record.app_id != app_id:
                continue
            layout.function_ids[record.name] = record.function_id
            layout.objects.add(object_id=record.function_id, function_handle_metadata=record.handle)
            for definition in record.ranked[:1]:
                known = {item.object_id for item in layout.objects}
                for dependency in definition.object_dependencies:
                    if dependency.object_id not in known:
                        layout.objects.add(object_id=dependency.object_id)
        return layout

    async def function_precreate(
        self, request: api_pb2.FunctionPrecreateRequest
    ) -> api_pb2.FunctionPrecreateResponse:
        function_id = request.existing_function_id or self._ids("fu")
        handle = api_pb2.FunctionHandleMetadata(
            function_name=request.function_name,
            function_type=request.function_type,
            function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
            app_id=request.app_id,
        )
        record = FunctionRecord(function_id, request.app_id, request.function_name, handle)
        previous = self.records.get(function_id)
        if previous is not None:
            handle.web_url = previous.handle.web_url
        self.records[function_id] = record
        if request.webhook_config.type and not handle.web_url:
            handle.web_url = await self._publish(record)
        return api_pb2.FunctionPrecreateResponse(function_id=function_id, handle_metadata=handle)

    def function_create(self, request: api_pb2.FunctionCreateRequest) -> api_pb2.FunctionCreateResponse:
        record = self.records[request.existing_function_id]
        if request.HasField("function_data"):
            ranked = sorted(request.function_data.ranked_functions, key=lambda entry: entry.rank)
            record.ranked = [entry.function for entry in ranked]
        else:
            record.ranked = [request.function]
        record.handle.definition_id = self._ids("de")
        record.handle.is_method = record.definition.is_method
        return api_pb2.FunctionCreateResponse(
            function_id=record.function_id,
            function=record.definition,
            function_data=_data(record),
            handle_metadata=record.handle,
        )

    def function_get(self, request: api_pb2.FunctionGetRequest) -> api_pb2.FunctionGetResponse:
        for record in reversed(self.records.values()):
            if record.name == request.object_tag and record.definition.app_name == request.app_name:
                return api_pb2.FunctionGetResponse(
                    function_id=record.function_id, handle_metadata=record.handle, function=_data(record)
                )
        raise GRPCError(Status.NOT_FOUND, f"no function {request.object_tag} in app {request.app_name}")


def _data(record: FunctionRecord) -> api_pb2.FunctionData:
    """The definitions in the form in which the client takes them."""
    ranked = [
        api_pb2.FunctionData.RankedFunction(rank=rank, function=definition)
        for rank, definition in enumerate(record.ranked)
    ]
    definition = record.definition
    return api_pb2.FunctionData(
        module_name=definition.module_name,
        function_name=definition.function_name,
        function_type=definition.function_type,
        timeout_secs=definition.timeout_secs,
        web_url=record.handle.web_url,
        webhook_config=definition.webhook_config,
        ranked_functions=ranked,
    )
