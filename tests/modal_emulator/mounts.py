"""Mounts: the local sources that the client uploads, kept by content and laid out for each container."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .blobs import Blobs
from .changes import Ids


class Mounts:
    """Files by SHA-256 in `folder`, and each mount's list of file names."""

    def __init__(self, folder: Path, blobs: Blobs, ids: Ids) -> None:
        self.files: dict[str, list[api_pb2.MountFile]] = {}
        self._folder = folder
        self._blobs = blobs
        self._ids = ids
        self._folder.mkdir(parents=True)

    def stored(self, sha256: str) -> Path:
        """The file with this content."""
        return self._folder / sha256

    def lay_out(self, mount_ids: Iterable[str], root: Path) -> None:
        """Copy the mounts' files to their places under `root`."""
        for mount_id in mount_ids:
            for file in self.files[mount_id]:
                target = root / file.filename.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.stored(file.sha256_hex).read_bytes())
                target.chmod(file.mode or 0o644)

    def mount_batched_check_existence(
        self, request: api_pb2.MountBatchedCheckExistenceRequest
    ) -> api_pb2.MountBatchedCheckExistenceResponse:
        missing = [sha for sha in request.sha256_hex_hashes if not self.stored(sha).exists()]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    def mount_put_file(self, request: api_pb2.MountPutFileRequest) -> api_pb2.MountPutFileResponse:
        kind = request.WhichOneof("data_oneof")
        path = self.stored(request.sha256_hex)
        if kind is not None:
            content = request.data if kind == "data" else self._blobs.path(request.data_blob_id).read_bytes()
            if hashlib.sha256(content).hexdigest() != request.sha256_hex:
                raise GRPCError(Status.INVALID_ARGUMENT, "the content of the file has another SHA-256")
            path.write_bytes(content)
        return api_pb2.MountPutFileResponse(exists=path.exists())

    def mount_get_or_create(
        self, request: api_pb2.MountGetOrCreateRequest
    ) -> api_pb2.MountGetOrCreateResponse:
        """Create a mount; one asked for by name (Modal's own client) is empty, as the container has it."""
        mount_id = self._ids("mo")
        self.files[mount_id] = list(request.files)
        listing = "\n".join(f"{file.filename} {file.sha256_hex}" for file in request.files)
        checksum = hashlib.sha256(listing.encode()).hexdigest()
        return api_pb2.MountGetOrCreateResponse(
            mount_id=mount_id,
            handle_metadata=api_pb2.MountHandleMetadata(content_checksum_sha256_hex=checksum),
        )
