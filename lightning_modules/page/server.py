"""A server of one folder, for browsers on this machine: a page that opens from a file has no threads."""

from __future__ import annotations

import errno
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lightning_modules.page.front_end import INDEX

HOST = "127.0.0.1"
FIRST_PORT = 8000
"""Where it is looked for a free port, and at the next ones."""
_PORTS = 50

MIME_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""Types by endings; all else, models too, is `application/octet-stream`. The system's table may be wrong."""

HEADERS = {
    # Threads of WebAssembly share memory, which browsers allow to pages that are isolated from other origins.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class PageServer(ThreadingHTTPServer):
    """A server that listens on this machine alone.

    Args:
        folder: What it serves, as it is at each request.
        port: Where it listens; 0 takes any free port, None the first free one from `FIRST_PORT` on.

    Raises:
        ValueError: If the port is taken, or may not be used.
    """

    daemon_threads = True
    block_on_close = False  # a browser keeps its connections open

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        candidates = range(FIRST_PORT, FIRST_PORT + _PORTS) if port is None else [port]
        for each in candidates:
            try:
                super().__init__((HOST, each), _Handler)
                return
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                reason = error.strerror
        tried = f"port {port} of" if port is not None else f"no port from {FIRST_PORT} on is free on"
        raise ValueError(f"--port: {tried} {HOST}: {reason}. Give another one, or 0 for any that is free")

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing of a browser that went away."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers with a file of the folder, or with a status; it lists no folder."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    server: PageServer

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with what there is to say of a file."""
        self._answer(with_body=False)

    def version_string(self) -> str:
        """Name the program alone."""
        return "ninelives"

    def log_message(self, format: str, *args: object) -> None:
        """Leave the terminal alone."""

    def end_headers(self) -> None:
        """Add what all answers have, refusals too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _answer(self, *, with_body: bool) -> None:
        if not self._from_here():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, explain="This server is for this machine alone.")
            return
        file = file_of(self.server.folder, self.path)
        try:
            content = None if file is None else file.read_bytes()
        except OSError:
            content = None
        if file is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", MIME_TYPES.get(file.suffix.lower(), "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _from_here(self) -> bool:
        """Tell whether the browser asked this machine by its own name.

        A page of somebody else's can let its name lead to 127.0.0.1 and read what is served there, but it
        cannot change the name that the browser says.
        """
        names = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        return self.headers.get_all("Host", []) in [[name] for name in names]


def file_of(folder: Path, target: str) -> Path | None:
    """Return the file that a request asks for, or None if the folder does not have it.

    Args:
        folder: The folder, without links in its own path.
        target: What stands in the request: a path from `/` on, with escapes and a query.
    """
    try:
        path = unquote(urlsplit(target).path, errors="strict")
    except ValueError:
        return None
    if not path.startswith("/") or "\0" in path or "\\" in path:
        return None
    names = (path + INDEX if path.endswith("/") else path).split("/")[1:]
    if any(name in ("", ".", "..") for name in names):
        return None
    try:
        file = folder.joinpath(*names).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return file if file.is_relative_to(folder) and file.is_file() else None
