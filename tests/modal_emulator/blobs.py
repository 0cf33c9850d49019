"""The object store: blobs, Volume blocks and Volume files over HTTP on the loopback interface."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web
from modal_proto import api_pb2

from .changes import Ids


class Blobs:
    """Blobs by identifier and blocks by the SHA-256 of their content, as files in `folder`."""

    def __init__(self, folder: Path, ids: Ids) -> None:
        self.folder = folder
        self.url = ""
        self._ids = ids
        self._runner: web.AppRunner | None = None
        self.folder.mkdir(parents=True)

    async def start(self) -> None:
        """Listen on a free loopback port."""
        app = web.Application(client_max_size=2**40)
        app.router.add_put("/blobs/{name}", self._put)
        app.router.add_get("/blobs/{name}", self._get)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the listener."""
        if self._runner is not None:
            await self._runner.cleanup()

    def path(self, name: str) -> Path:
        """The file that holds a blob or block."""
        return self.folder / name

    def url_of(self, name: str) -> str:
        """Where a blob or block is put and fetched."""
        return f"{self.url}/blobs/{name}"

    def blob_create(self, request: api_pb2.BlobCreateRequest) -> api_pb2.BlobCreateResponse:
        blob_id = self._ids("bl")
        return api_pb2.BlobCreateResponse(
            blob_ids=[blob_id], upload_urls=api_pb2.UploadUrlList(items=[self.url_of(blob_id)])
        )

    def blob_get(self, request: api_pb2.BlobGetRequest) -> api_pb2.BlobGetResponse:
        return api_pb2.BlobGetResponse(download_url=self.url_of(request.blob_id))

    async def _put(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.path(request.match_info["name"]).write_bytes(content)
        tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return web.Response(text=request.match_info["name"], headers={"ETag": f'"{tag}"'})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = self.path(request.match_info["name"])
        if not path.is_file():
            raise web.HTTPNotFound(text=f"no blob {path.name}")
        return web.FileResponse(path)
