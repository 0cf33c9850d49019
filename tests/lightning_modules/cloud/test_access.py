"""TensorBoard's lock, over real HTTP: a token in the link, a cookie after it, and nothing without them."""

from __future__ import annotations

import http.client
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from lightning_modules.cloud.access import COOKIE, Locked, link, new_token
from lightning_modules.cloud.board import serve_board

TOKEN = "a-fixed-token-of-forty-characters-0123456"
SECRET = b"a private photograph"


class Site:
    """A locked application on a loopback port, with what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.server = make_server("127.0.0.1", 0, Locked(self._answer, TOKEN), handler_class=Quiet)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        port = self.server.server_port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response, response.read()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.asked.append(dict(environ))
        start_response("200 OK", [("Content-Length", str(len(SECRET)))])
        return [SECRET]


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def cookie_of(response: http.client.HTTPResponse) -> str:
    return str(response.getheader("Set-Cookie")).partition(";")[0]


def test_the_link_sets_a_cookie_and_leads_to_the_page_without_the_token(site: Site) -> None:
    response, body = site.get(f"/?token={TOKEN}")
    assert (response.status, body) == (303, b"")
    assert response.getheader("Location") == "/"
    attributes = {each.strip() for each in str(response.getheader("Set-Cookie")).split(";")[1:]}
    assert attributes == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert response.getheader("Referrer-Policy") == "no-referrer"
    assert response.getheader("Cache-Control") == "no-store"
    assert TOKEN not in str(response.headers)
    assert site.asked == []
    response, body = site.get("/data/runs?x=1", Cookie=f"other=1; {cookie_of(response)}")
    assert (response.status, body) == (200, SECRET)
    assert TOKEN not in str(site.asked)


def test_the_rest_of_the_address_is_kept_and_stays_on_the_site(site: Site) -> None:
    for path, place in {
        f"/a%20b?x=1&token={TOKEN}&y=%26": "/a%20b?x=1&y=%26",
        f"//evil.example/?token={TOKEN}": "/evil.example/",
        f"/%5Cevil.example?token={TOKEN}": "/evil.example",
        f"/%0d%0aX:1?token={TOKEN}": "/%0D%0AX%3A1",
    }.items():
        response, _ = site.get(path)
        assert response.status == 303
        assert response.getheader("Location") == place


@pytest.mark.parametrize(
    ("method", "path", "cookie"),
    [
        ("GET", "/", ""),
        ("GET", "/data/runs", ""),
        ("GET", "/?token=", ""),
        ("GET", "/?token=wrong", ""),
        ("GET", f"/?token={TOKEN[:-1]}", ""),
        ("GET", f"/?token={TOKEN}x", ""),
        ("GET", "/?token=%C3%A9%FF", ""),
        ("GET", f"/?Token={TOKEN}", ""),
        ("POST", f"/?token={TOKEN}", ""),
        ("GET", "/", COOKIE),
        ("GET", "/", f"{COOKIE}="),
        ("GET", "/", f"{COOKIE}={TOKEN}"),
        ("GET", "/", f"other={TOKEN}"),
        ("HEAD", "/", ""),
    ],
)
def test_without_token_or_cookie_there_is_nothing(site: Site, method: str, path: str, cookie: str) -> None:
    response, body = site.get(path, method, Cookie=cookie)
    assert response.status == 401
    assert SECRET not in body
    assert "Set-Cookie" not in response.headers
    assert site.asked == []


def test_another_token_has_another_cookie() -> None:
    seen: list[Any] = []
    for token in (new_token(), new_token()):
        environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": f"token={token}", "PATH_INFO": "/"}
        Locked(lambda *_: [], token)(
            environ, lambda status, headers: seen.append(dict(headers)["Set-Cookie"])
        )
    assert len(set(seen)) == 2


def test_tokens_are_long_and_an_empty_one_locks_nothing_so_it_is_refused() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 40
    with pytest.raises(ValueError, match="TOKEN"):
        Locked(lambda *_: [], "")


def test_the_link_holds_the_token() -> None:
    address = urllib.parse.urlsplit(link("https://x.modal.run", "a-b"))
    assert (address.netloc, address.path, address.query) == ("x.modal.run", "/", "token=a-b")


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated")  # TensorBoard's own copy
def test_tensorboard_itself_is_behind_the_lock(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    board = serve_board(tmp_path / "runs", tmp_path / "mirror", lambda: None, 3600.0, TOKEN)
    answers: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/data/runs", "QUERY_STRING": ""}
    board(environ, lambda status, headers: answers.append(status))
    assert answers == ["401 Unauthorized"]
