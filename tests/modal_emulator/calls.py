"""Function calls as the client sees them: inputs put, outputs awaited, retries asked for, data streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .changes import Changes, Ids
from .functions import FunctionRecord, Functions

SYNC = api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC


@dataclass
class Input:
    """One input of a call: the arguments of one run of the function."""

    input_id: str
    call: Call
    idx: int
    payload: api_pb2.FunctionInput
    failures: int = 0
    """Failures counted against the retries."""
    task_ids: list[str] = field(default_factory=list)
    """The containers that it was handed to, in order."""
    running_in: str = ""
    done: bool = False

    @property
    def jwt(self) -> str:
        """The token by which the client refers to it."""
        return f"jwt-{self.input_id}"


@dataclass
class Call:
    """A call of a function: one input, or the many of a `map`."""

    call_id: str
    record: FunctionRecord
    invocation: int
    client_retries: bool
    inputs: list[Input] = field(default_factory=list)
    outputs: list[tuple[int, api_pb2.FunctionGetOutputsItem]] = field(default_factory=list)
    """Entry number and item of each output not yet cleared."""
    entries: int = 0
    data_in: list[api_pb2.DataChunk] = field(default_factory=list)
    data_out: list[api_pb2.DataChunk] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether every input has its final output."""
        return all(item.done for item in self.inputs)


class Calls:
    """The registry of calls.

    Args:
        ids: makes identifiers.
        functions: the functions that can be called.
        changes: told of every output and datum.
        enqueue: hands an input to the scheduler.
        cancel: stops what runs for a call.
    """

    def __init__(
        self,
        ids: Ids,
        functions: Functions,
        changes: Changes,
        enqueue: Callable[[Input], None],
        cancel: Callable[[Call], None],
    ) -> None:
        self.calls: dict[str, Call] = {}
        self.inputs: dict[str, Input] = {}
        self.client_retries = False
        """Whether the client of a synchronous call is told to retry failures itself."""
        self._ids = ids
        self._functions = functions
        self._changes = changes
        self._enqueue = enqueue
        self._cancel = cancel

    def create(self, record: FunctionRecord, invocation: int = SYNC) -> Call:
        """Start a call without inputs."""
        retried = self.client_retries and invocation == SYNC
        call = Call(self._ids("fc"), record, invocation, retried)
        self.calls[call.call_id] = call
        return call

    def put(self, call: Call, item: api_pb2.FunctionPutInputsItem) -> Input:
        """Add an input to a call and hand it to the scheduler."""
        added = Input(self._ids("in"), call, item.idx, item.input)
        call.inputs.append(added)
        self.inputs[added.input_id] = added
        self._enqueue(added)
        return added

    def finish(self, item: Input, result: api_pb2.GenericResult, data_format: int) -> None:
        """Give the client an output; the final one unless the client itself asks for a retry."""
        item.done = True
        call = item.call
        call.entries += 1
        output = api_pb2.FunctionGetOutputsItem(
            result=result,
            idx=item.idx,
            input_id=item.input_id,
            data_format=data_format,
            task_id=item.task_ids[-1] if item.task_ids else "",
            retry_count=item.failures,
        )
        call.outputs.append((call.entries, output))
        self._changes.notify()

    def function_map(self, request: api_pb2.FunctionMapRequest) -> api_pb2.FunctionMapResponse:
        record = self._functions.records[request.function_id]
        call = self.create(record, request.function_call_invocation_type)
        return api_pb2.FunctionMapResponse(
            function_call_id=call.call_id,
            pipelined_inputs=[self._added(self.put(call, item)) for item in request.pipelined_inputs],
            retry_policy=record.definition.retry_policy,
            function_call_jwt=f"jwt-{call.call_id}",
            sync_client_retries_enabled=call.client_retries,
            max_inputs_outstanding=1000,
        )

    def function_put_inputs(
        self, request: api_pb2.FunctionPutInputsRequest
    ) -> api_pb2.FunctionPutInputsResponse:
        call = self._call(request.function_call_id)
        added = [self._added(self.put(call, item)) for item in request.inputs]
        return api_pb2.FunctionPutInputsResponse(inputs=added)

    def function_finish_inputs(self, request: api_pb2.FunctionFinishInputsRequest) -> Empty:
        return Empty()

    def function_retry_inputs(
        self, request: api_pb2.FunctionRetryInputsRequest
    ) -> api_pb2.FunctionRetryInputsResponse:
        for entry in request.inputs:
            item = self.inputs[entry.input_jwt.removeprefix("jwt-")]
            item.done = False
            self._enqueue(item)
        return api_pb2.FunctionRetryInputsResponse(input_jwts=[entry.input_jwt for entry in request.inputs])

    def function_call_from_id(
        self, request: api_pb2.FunctionCallFromIdRequest
    ) -> api_pb2.FunctionCallFromIdResponse:
        call = self._call(request.function_call_id)
        return api_pb2.FunctionCallFromIdResponse(function_call_id=call.call_id, num_inputs=len(call.inputs))

    def function_call_cancel(self, request: api_pb2.FunctionCallCancelRequest) -> Empty:
        self._cancel(self._call(request.function_call_id))
        return Empty()

    async def function_get_outputs(
        self, request: api_pb2.FunctionGetOutputsRequest
    ) -> api_pb2.FunctionGetOutputsResponse:
        """Wait for outputs, at most `timeout` seconds."""
        call = self._call(request.function_call_id)
        last = int(request.last_entry_id.partition("-")[0] or 0)

        def ready() -> list[tuple[int, api_pb2.FunctionGetOutputsItem]]:
            return [
                (entry, item)
                for entry, item in call.outputs
                if entry > last
                and (not request.HasField("start_idx") or request.start_idx <= item.idx <= request.end_idx)
                and (not request.input_jwts or self.inputs[item.input_id].jwt in request.input_jwts)
            ][: request.max_values or None]

        await self._changes.until(ready, request.timeout)
        found = ready()
        if request.clear_on_success:
            call.outputs = [pair for pair in call.outputs if pair not in found]
        return api_pb2.FunctionGetOutputsResponse(
            outputs=[item for _, item in found],
            idxs=[item.idx for _, item in found],
            last_entry_id=f"{found[-1][0] if found else last}-0",
            num_unfinished_inputs=sum(not item.done for item in call.inputs),
        )

    async def function_call_get_data_in(
        self, request: api_pb2.FunctionCallGetDataRequest
    ) -> AsyncIterator[api_pb2.DataChunk]:
        call = self._call(request.function_call_id)
        async for chunk in self.stream(call, call.data_in, request.last_index):
            yield chunk

    async def function_call_get_data_out(
        self, request: api_pb2.FunctionCallGetDataRequest
    ) -> AsyncIterator[api_pb2.DataChunk]:
        call = self._call(request.function_call_id)
        async for chunk in self.stream(call, call.data_out, request.last_index):
            yield chunk

    def function_call_put_data_out(self, request: api_pb2.FunctionCallPutDataRequest) -> Empty:
        call = self._call(request.function_call_id)
        seen = {chunk.index for chunk in call.data_out}
        call.data_out.extend(chunk for chunk in request.data_chunks if chunk.index not in seen)
        self._changes.notify()
        return Empty()

    async def stream(
        self, call: Call, chunks: list[api_pb2.DataChunk], position: int = 0
    ) -> AsyncIterator[api_pb2.DataChunk]:
        """Yield a call's data from `position` on, until the call is finished."""
        while True:
            while position < len(chunks):
                position += 1
                yield chunks[position - 1]
            if call.finished:
                return
            await self._changes.until(lambda start=position: len(chunks) > start or call.finished)

    def _call(self, call_id: str) -> Call:
        if call_id not in self.calls:
            raise GRPCError(Status.NOT_FOUND, f"no function call {call_id}")
        return self.calls[call_id]

    @staticmethod
    def _added(item: Input) -> api_pb2.FunctionPutInputsResponseItem:
        return api_pb2.FunctionPutInputsResponseItem(idx=item.idx, input_id=item.input_id, input_jwt=item.jwt)
