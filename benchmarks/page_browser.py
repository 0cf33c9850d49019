"""Chromium with a run's page open, for the benchmarks of the page."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.page.server import PageServer

BACKENDS = ("wasm", "wasm-threads", "webgpu")
FRONTEND = Path(__file__).parents[1] / "frontend"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class BackendError(RuntimeError):
    """A backend cannot be used here."""


class PageBrowser:
    """A browser that samples when it is told to.

    Args:
        url: Where the page is served.
    """

    def __init__(self, url: str) -> None:
        program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
        if program is None:
            raise SystemExit("there is no Chromium: install it, or name it with the variable CHROMIUM")
        if not (FRONTEND / "node_modules" / "playwright-core").is_dir():
            raise SystemExit("frontend/ is not installed: run make frontend")
        self.process = subprocess.Popen(
            ["node", Path(__file__).with_suffix(".mjs"), FRONTEND, url, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self, backend: str) -> dict[str, Any]:
        """Open the page with a backend, and return what it says of itself.

        Raises:
            BackendError: If it cannot be used.
        """
        return self._ask({"backend": backend})

    def seconds(self, backend: str, link: str) -> float:
        """Return how long the images of a link take, from the link to the last pixel."""
        return float(self._ask({"backend": backend, "link": link})["seconds"])

    def images(self, backend: str, link: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the images of a link, (N, H, W, 3).

        Args:
            backend: What computes.
            link: The settings.
            size: Height and width.
        """
        found = self._ask({"backend": backend, "link": link, "wanted": True})["images"]
        pixels = [np.frombuffer(base64.b64decode(each), np.uint8) for each in found]
        return np.stack(pixels).reshape(len(pixels), *size, 4)[..., :3]

    def end(self) -> None:
        """Close it."""
        self.process.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "the browser's process has ended"}
        if "failed" in answer or answer.get("phase") == "failed":
            raise BackendError(f"{request['backend']}: {answer.get('failed', 'the page failed')}")
        return answer


@contextmanager
def browsing(page: Path) -> Iterator[PageBrowser]:
    """Serve a page as `ninelives page --serve` does, and give a browser of it."""
    with PageServer(page, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = PageBrowser(server.url)
        try:
            yield browser
        finally:
            browser.end()
            server.shutdown()


def opened(browser: PageBrowser, backends: list[str]) -> dict[str, str]:
    """Open the page with each backend that can be used, and return what each says of itself."""
    said = {}
    for backend in backends:
        try:
            facts = browser.open(backend)
        except BackendError as error:
            raise SystemExit(f"{error}. Leave it out with --backends") from error
        said[backend] = f"Chromium {facts['version']}: {facts['said']}"
    return said
