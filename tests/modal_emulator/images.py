"""Images: answered as built at once; their Dockerfile lines are kept, `ENV` and `WORKDIR` are applied."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Iterator

from grpclib import GRPCError, Status
from modal_proto import api_pb2

BUILDER_VERSION = "2025.06"


class Images:
    """Image definitions by identifier."""

    def __init__(self) -> None:
        self.definitions: dict[str, api_pb2.Image] = {}

    def lines(self, image_id: str) -> list[str]:
        """The Dockerfile lines of an image and of those it is built on, the first layer first."""
        definition = self.definitions[image_id]
        before = [line for base in definition.base_images for line in self.lines(base.image_id)]
        return before + list(definition.dockerfile_commands)

    def layers(self, image_id: str) -> Iterator[api_pb2.Image]:
        """The definitions of an image's layers, the first layer first."""
        definition = self.definitions[image_id]
        for base in definition.base_images:
            yield from self.layers(base.image_id)
        yield definition

    def environment(self, image_id: str) -> dict[str, str]:
        """What the image's `ENV` lines set."""
        variables = {}
        for line in self.lines(image_id):
            if line.startswith("ENV "):
                for word in shlex.split(line[4:]):
                    name, _, value = word.partition("=")
                    variables[name] = value
        return variables

    def workdir(self, image_id: str) -> str:
        """The folder that the last `WORKDIR` line names; `/root` without one."""
        folders = [line.split(maxsplit=1)[1] for line in self.lines(image_id) if line.startswith("WORKDIR ")]
        return shlex.split(folders[-1])[0] if folders else "/root"

    def image_get_or_create(
        self, request: api_pb2.ImageGetOrCreateRequest
    ) -> api_pb2.ImageGetOrCreateResponse:
        digest = hashlib.sha256(request.image.SerializeToString(deterministic=True)).hexdigest()
        image_id = f"im-{digest[:22]}"
        self.definitions[image_id] = request.image
        return api_pb2.ImageGetOrCreateResponse(image_id=image_id, result=_BUILT, metadata=_METADATA)

    async def image_join_streaming(
        self, request: api_pb2.ImageJoinStreamingRequest
    ) -> Iterator[api_pb2.ImageJoinStreamingResponse]:
        if request.image_id not in self.definitions:
            raise GRPCError(Status.NOT_FOUND, f"no image {request.image_id}")
        yield api_pb2.ImageJoinStreamingResponse(result=_BUILT, metadata=_METADATA, eof=True)


_BUILT = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)
_METADATA = api_pb2.ImageMetadata(
    image_builder_version=BUILDER_VERSION,
    python_version_info="{}.{}.{}".format(*sys.version_info[:3]),
)
