"""Volumes (version 2): names, listings, block-wise upload and download, commit and reload."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .blobs import Blobs
from .changes import Ids
from .service import calling_task
from .volume_files import Copy, put, remove

BLOCK = 8 * 1024 * 1024  # bytes, the client's
V2 = api_pb2.VOLUME_FS_VERSION_V2


@dataclass
class Volume:
    """A Volume: its name and the folder that holds what is published."""

    volume_id: str
    name: str
    published: Path
    created_at: float

    def metadata(self) -> api_pb2.VolumeMetadata:
        """What the client is told of it."""
        return api_pb2.VolumeMetadata(version=V2, name=self.name)


class Volumes:
    """The Volumes, and the containers' copies.

    Args:
        folder: where the published trees are kept.
        blobs: the HTTP store for blocks.
        ids: makes identifiers.
        processes: given a task id, the container's processes; raises `GRPCError` for a killed one.
    """

    def __init__(self, folder: Path, blobs: Blobs, ids: Ids, processes: Callable[[str], list[int]]) -> None:
        self.volumes: dict[str, Volume] = {}
        self.copies: dict[tuple[str, str], Copy] = {}
        self.commits: list[tuple[str, str, list[str]]] = []
        """Task id, Volume name and changed paths of every commit."""
        self.commits_to_refuse = 0
        """How many of the next commits fail, at the service."""
        self._folder = folder
        self._blobs = blobs
        self._ids = ids
        self._processes = processes

    def named(self, name: str) -> Volume:
        """The Volume of this name."""
        for volume in self.volumes.values():
            if volume.name == name:
                return volume
        raise GRPCError(Status.NOT_FOUND, f"Volume '{name}' not found")

    def attach(self, task_id: str, volume_id: str, folder: Path) -> None:
        """Give a container that starts its own copy of a Volume in `folder`."""
        self.copies[task_id, volume_id] = Copy(folder, self.volumes[volume_id].published)

    def detach(self, task_id: str) -> None:
        """Forget a container's copies: what they had not committed is lost."""
        for key in [key for key in self.copies if key[0] == task_id]:
            del self.copies[key]

    def volume_commit(self, request: api_pb2.VolumeCommitRequest) -> api_pb2.VolumeCommitResponse:
        task_id = calling_task.get()
        copy = self._copy(task_id, request.volume_id)
        self._processes(task_id)
        if self.commits_to_refuse:
            self.commits_to_refuse -= 1
            raise GRPCError(Status.FAILED_PRECONDITION, "the Volume could not be committed")
        paths = copy.commit()
        self.commits.append((task_id, self.volumes[request.volume_id].name, paths))
        return api_pb2.VolumeCommitResponse(skip_reload=True)

    def volume_reload(self, request: api_pb2.VolumeReloadRequest) -> Empty:
        """Refused while the container holds files of the Volume open; changes are committed first."""
        task_id = calling_task.get()
        copy = self._copy(task_id, request.volume_id)
        if opened := copy.open_files(self._processes(task_id)):
            raise GRPCError(
                Status.FAILED_PRECONDITION,
                f"there are open files preventing the operation: {', '.join(opened)}",
            )
        paths = copy.commit()
        if paths:
            self.commits.append((task_id, self.volumes[request.volume_id].name, paths))
        copy.reload()
        return Empty()

    def volume_get_or_create(
        self, request: api_pb2.VolumeGetOrCreateRequest
    ) -> api_pb2.VolumeGetOrCreateResponse:
        try:
            volume = self.named(request.deployment_name)
        except GRPCError:
            if request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
                raise
            volume = self._create(request)
        else:
            if request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
                raise GRPCError(Status.ALREADY_EXISTS, f"Volume '{volume.name}' exists")
        return api_pb2.VolumeGetOrCreateResponse(
            volume_id=volume.volume_id, version=V2, metadata=volume.metadata()
        )

    def volume_get_by_id(self, request: api_pb2.VolumeGetByIdRequest) -> api_pb2.VolumeGetByIdResponse:
        volume = self.volumes[request.volume_id]
        return api_pb2.VolumeGetByIdResponse(volume_id=volume.volume_id, metadata=volume.metadata())

    def volume_list(self, request: api_pb2.VolumeListRequest) -> api_pb2.VolumeListResponse:
        response = api_pb2.VolumeListResponse(environment_name="main")
        for volume in self.volumes.values():
            if not request.pagination.created_before or volume.created_at < request.pagination.created_before:
                response.items.add(
                    label=volume.name,
                    volume_id=volume.volume_id,
                    created_at=volume.created_at,
                    metadata=volume.metadata(),
                )
        return response

    def volume_delete(self, request: api_pb2.VolumeDeleteRequest) -> Empty:
        shutil.rmtree(self.volumes.pop(request.volume_id).published)
        return Empty()

    def volume_rename(self, request: api_pb2.VolumeRenameRequest) -> Empty:
        self.volumes[request.volume_id].name = request.name
        return Empty()

    async def volume_list_files2(
        self, request: api_pb2.VolumeListFiles2Request
    ) -> AsyncIterator[api_pb2.VolumeListFiles2Response]:
        root = self.volumes[request.volume_id].published
        top = self._path(request.volume_id, request.path, must_exist=True)
        if not top.is_dir() or top.is_symlink():
            found = [top]
        else:
            found = sorted(top.rglob("*") if request.recursive else top.iterdir())
        yield api_pb2.VolumeListFiles2Response(entries=[_entry(path, root) for path in found])

    def volume_get_file2(self, request: api_pb2.VolumeGetFile2Request) -> api_pb2.VolumeGetFile2Response:
        path = self._path(request.volume_id, request.path, must_exist=True)
        if not path.is_file():
            raise GRPCError(Status.INVALID_ARGUMENT, f"{request.path} is not a file")
        size = path.stat().st_size
        start = request.start
        length = min(request.len or size, size - start)
        urls = []
        with path.open("rb") as file:
            file.seek(start)
            while file.tell() < start + length:
                end = min(start + length, (file.tell() // BLOCK + 1) * BLOCK)
                urls.append(self._blobs.url_of(self._keep(file.read(end - file.tell()))))
        return api_pb2.VolumeGetFile2Response(get_urls=urls, size=size, start=start, len=length)

    def volume_put_files2(self, request: api_pb2.VolumePutFiles2Request) -> api_pb2.VolumePutFiles2Response:
        """Ask for the blocks that are not there; with all of them there, put all files."""
        response = api_pb2.VolumePutFiles2Response()
        asked = set()
        for file_index, file in enumerate(request.files):
            target = self._path(request.volume_id, file.path)
            if request.disallow_overwrite_existing_files and target.exists():
                raise GRPCError(Status.ALREADY_EXISTS, f"{file.path}: already exists")
            for block_index, block in enumerate(file.blocks):
                name = block.contents_sha256.hex()
                if not self._blobs.path(name).exists() and name not in asked:
                    asked.add(name)
                    response.missing_blocks.add(
                        file_index=file_index, block_index=block_index, put_url=self._blobs.url_of(name)
                    )
        if not response.missing_blocks:
            for file in request.files:
                self._assemble(self._path(request.volume_id, file.path), file)
        return response

    def volume_remove_file2(self, request: api_pb2.VolumeRemoveFile2Request) -> Empty:
        path = self._path(request.volume_id, request.path, must_exist=True)
        if path.is_dir() and not path.is_symlink() and not request.recursive:
            raise GRPCError(
                Status.INVALID_ARGUMENT, f"{request.path} is a folder; remove it with recursive=True"
            )
        remove(path)
        return Empty()

    def volume_copy_files2(self, request: api_pb2.VolumeCopyFiles2Request) -> Empty:
        target = self._path(request.volume_id, request.dst_path)
        for name in request.src_paths:
            source = self._path(request.volume_id, name, must_exist=True)
            goal = target / source.name if target.is_dir() else target
            for path in [source, *(sorted(source.rglob("*")) if source.is_dir() else [])]:
                put(path, goal / path.relative_to(source))
        return Empty()

    def _create(self, request: api_pb2.VolumeGetOrCreateRequest) -> Volume:
        if request.version == api_pb2.VOLUME_FS_VERSION_V1:
            raise GRPCError(Status.UNIMPLEMENTED, "the Modal emulator has Volumes of version 2 only")
        volume_id = self._ids("vo")
        published = self._folder / volume_id
        published.mkdir(parents=True)
        name = request.deployment_name or volume_id
        self.volumes[volume_id] = Volume(volume_id, name, published, time.time())
        return self.volumes[volume_id]

    def _copy(self, task_id: str, volume_id: str) -> Copy:
        if (task_id, volume_id) not in self.copies:
            raise GRPCError(Status.NOT_FOUND, f"container '{task_id}' does not mount Volume {volume_id}")
        return self.copies[task_id, volume_id]

    def _path(self, volume_id: str, path: str, must_exist: bool = False) -> Path:
        if volume_id not in self.volumes:
            raise GRPCError(Status.NOT_FOUND, f"no Volume {volume_id}")
        inside = os.path.normpath("/" + path.lstrip("/")).lstrip("/")
        found = self.volumes[volume_id].published / inside
        if must_exist and not (found.exists() or found.is_symlink()):
            raise GRPCError(Status.NOT_FOUND, f"{path}: No such file or directory")
        return found

    def _keep(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        if not self._blobs.path(name).exists():
            self._blobs.path(name).write_bytes(content)
        return name

    def _assemble(self, target: Path, file: api_pb2.VolumePutFiles2Request.File) -> None:
        """Write a file from its blocks, whose trailing zeros the client may have left out."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        with partial.open("wb") as output:
            for index, block in enumerate(file.blocks):
                output.seek(index * BLOCK)
                output.write(self._blobs.path(block.contents_sha256.hex()).read_bytes())
            output.truncate(file.size)
        partial.chmod(file.mode or 0o644)
        partial.replace(target)


def _entry(path: Path, root: Path) -> api_pb2.FileEntry:
    status = path.lstat()
    kind = api_pb2.FileEntry.FILE
    if path.is_symlink():
        kind = api_pb2.FileEntry.SYMLINK
    elif path.is_dir():
        kind = api_pb2.FileEntry.DIRECTORY
    name = str(path.relative_to(root))
    return api_pb2.FileEntry(path=name, type=kind, mtime=int(status.st_mtime), size=status.st_size)
