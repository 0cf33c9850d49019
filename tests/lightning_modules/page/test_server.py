from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_modules.page.server import HEADERS, HOST, PageServer, file_of
from tests.helpers.places import REPOSITORY
from tests.helpers.site import FILES, stand_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page, with what must not be served next to it."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "page-2").mkdir()
    (tmp_path / "page-2" / "secret.txt").write_text("secret")
    page = stand_in(tmp_path / "page")
    (page / "model").mkdir()
    (page / "model" / "denoiser.onnx").write_bytes(b"\0\1\2")
    (page / "model.json").write_text("{}")
    (page / "a b ü.txt").write_text("named oddly")
    (page / "link.txt").symlink_to(tmp_path / "secret.txt")
    (page / "above").symlink_to(tmp_path)
    (page / "inner.txt").symlink_to(page / "sw.js")
    return page


@pytest.fixture
def server(folder: Path) -> Iterator[PageServer]:
    with PageServer(folder, 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def ask(
    server: PageServer, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, dict, bytes]:
    """Send a path as it is, which browsers would normalize, and return status, headers and body."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"{HOST}:{server.server_port}")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/index.html?seed=1", "text/html; charset=utf-8"),
        ("/sw.js", "text/javascript; charset=utf-8"),
        ("/assets/index-abc.js", "text/javascript; charset=utf-8"),
        ("/assets/runtime.wasm", "application/wasm"),
        ("/model/denoiser.onnx", "application/octet-stream"),
        ("/model.json", "application/json"),
        ("/a%20b%20%C3%BC.txt", "text/plain; charset=utf-8"),
        ("/inner.txt", "text/javascript; charset=utf-8"),  # the type is that of what a link leads to
    ],
)
def test_files_come_with_their_types_and_isolated(server: PageServer, path: str, kind: str) -> None:
    status, headers, body = ask(server, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert HEADERS.items() <= headers.items()
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert int(headers["Content-Length"]) == len(body) > 0
    assert "Content-Encoding" not in headers
    assert ask(server, path, "HEAD")[2] == b""
    assert ask(server, path, "HEAD")[1]["Content-Length"] == headers["Content-Length"]


OUTSIDE = [
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E%2Fsecret.txt",
    "/..%2fsecret.txt",
    "/assets/../../secret.txt",
    "/assets/%2e%2e/%2e%2e/secret.txt",
    "/..\\secret.txt",
    "/%5c..%5csecret.txt",
    "/../page-2/secret.txt",
    "/link.txt",
    "/above/secret.txt",
    "//secret.txt",
    "/./secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "/%2fetc/passwd",
    "/%00",
    "/index.html%00.txt",
    "/%ff",
    "/index.html/",
    "/" + "a" * 5000,
    "/assets",
    "/assets/",
    "/model",
    "/nothing",
    "http://example.org/../secret.txt",
]


@pytest.mark.parametrize("path", [*OUTSIDE, "{folder}/../secret.txt"])
def test_nothing_outside_is_served_and_no_folder_listed(server: PageServer, folder: Path, path: str) -> None:
    status, headers, body = ask(server, path.format(folder=folder))
    assert status == 404
    assert b"secret" not in body.replace(b"secret.txt", b"")
    assert b"index-abc" not in body
    assert HEADERS.items() <= headers.items()


def test_a_folder_that_is_itself_behind_a_link_is_served(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(folder)
    with PageServer(tmp_path / "latest", 0) as server:
        assert file_of(server.folder, "/index.html") == folder.resolve() / "index.html"


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "localhost:1", "[::1]:{port}"]
)
def test_a_foreign_name_is_refused(server: PageServer, host: str) -> None:
    status, _, body = ask(server, "/", host=host.format(port=server.server_port))
    assert status == 421
    assert b"stand-in" not in body


def test_localhost_is_a_name_of_this_machine(server: PageServer) -> None:
    assert ask(server, "/", host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_it_only_reads(server: PageServer, method: str) -> None:
    assert ask(server, "/", method)[0] == 501


def test_a_request_without_a_host_or_with_two_is_refused(server: PageServer) -> None:
    own = f"Host: {HOST}:{server.server_port}\r\n"
    for hosts in ("", own + "Host: example.org\r\n", "Host: example.org\r\n" + own):
        with socket.create_connection((HOST, server.server_port), timeout=30) as raw:
            raw.sendall(f"GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            assert raw.makefile("rb").readline().split()[1] == b"421"


def test_several_browsers_are_answered_at_once(server: PageServer) -> None:
    waiting = [socket.create_connection((HOST, server.server_port), timeout=30) for _ in range(5)]
    try:
        assert ask(server, "/")[0] == 200  # though the others have said nothing yet
    finally:
        for each in waiting:
            each.close()


def test_a_browser_that_goes_away_is_no_error(
    server: PageServer, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "large.bin").write_bytes(bytes(20_000_000))
    for _ in range(3):
        raw = socket.create_connection((HOST, server.server_port), timeout=30)
        raw.sendall(f"GET /large.bin HTTP/1.1\r\nHost: {HOST}:{server.server_port}\r\n\r\n".encode())
        raw.recv(10)
        raw.close()
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_only_this_machine_is_listened_to(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_refused(folder: Path, server: PageServer) -> None:
    with pytest.raises(ValueError, match=rf"--port: port {server.server_port} of 127\.0\.0\.1"):
        PageServer(folder, server.server_port)


def test_without_a_port_the_next_free_one_is_taken(
    folder: Path, server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_modules.page.server.FIRST_PORT", server.server_port)
    with PageServer(folder) as other:
        assert server.server_port < other.server_port < server.server_port + 50
        assert other.url == f"http://127.0.0.1:{other.server_port}/"


PROGRAM = """
import sys
from pathlib import Path
from lightning_modules.cli.commands.page import serve
from lightning_modules.cli.process import one_line_errors, run_command

def main():
    with one_line_errors("stopped", stopped_status=0):
        serve(Path(sys.argv[1]), 0, opened=False)

if __name__ == "__main__":
    run_command(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_cleanly(number: signal.Signals, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/", line)[0])
        kept = http.client.HTTPConnection(HOST, port, timeout=30)
        kept.request("GET", "/index.html")
        assert kept.getresponse().read() == FILES["index.html"].encode()
        process.send_signal(number)  # while the browser's connection is open
        out, err = process.communicate(timeout=60)
        kept.close()
    assert (process.returncode, out, err) == (0, "", "\nstopped\n")
