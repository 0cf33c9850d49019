"""A key to a web page: a token in the link that is printed, and a cookie after it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

VARIABLE = "NINELIVES_BOARD_TOKEN"
"""The environment variable in which the container finds the token."""

COOKIE = "__Host-ninelives-board"
"""Browsers take a cookie with this prefix only from its own host, over HTTPS, and for all of its paths."""

PARAMETER = "token"

_REFUSAL = b"401: open the link that modal run printed, with its token.\n"
_PRIVATE = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def link(address: str, token: str) -> str:
    """Return the link that lets a browser in."""
    return f"{address.rstrip('/')}/?{urlencode({PARAMETER: token})}"


class Locked:
    """A WSGI application that answers only who has the token, in the link or in the cookie that follows it.

    The link's answer sets the cookie and sends the browser to the same page without the token, so that the
    token is in no page's address: not in the history's last entry, not in what the application logs, not in
    what a browser tells other sites.

    Args:
        application: The application.
        token: The token.

    Raises:
        ValueError: If the token is empty, which everybody has.
    """

    def __init__(self, application: WSGI, token: str) -> None:
        if not token:
            raise ValueError(f"{VARIABLE} is empty: without a token the pages would be public")
        self._application, self._token = application, token
        # The cookie is not the token, so that neither gives the other away.
        self._pass = hashlib.sha256(f"cookie of {token}".encode()).hexdigest()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        if any(_equal(value, self._pass) for value in _cookies(environ)):
            return self._application(environ, start_response)
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        given = [value for name, value in query if name == PARAMETER]
        reading = environ.get("REQUEST_METHOD") in ("GET", "HEAD")
        if reading and any(_equal(value, self._token) for value in given):
            place = _own_page(environ, [pair for pair in query if pair[0] != PARAMETER])
            cookie = f"{COOKIE}={self._pass}; Path=/; Secure; HttpOnly; SameSite=Lax"
            start_response(
                "303 See Other",
                [("Location", place), ("Content-Length", "0"), ("Set-Cookie", cookie), *_PRIVATE],
            )
            return [b""]
        kind = ("Content-Type", "text/plain; charset=utf-8")
        length = ("Content-Length", str(len(_REFUSAL)))
        start_response("401 Unauthorized", [kind, length, ("WWW-Authenticate", "Cookie"), *_PRIVATE])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else _REFUSAL]


def _equal(one: str, other: str) -> bool:
    """Compare in a time that does not tell how much is right."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _cookies(environ: dict[str, Any]) -> list[str]:
    pairs = (each.strip().partition("=") for each in environ.get("HTTP_COOKIE", "").split(";"))
    return [value for name, _, value in pairs if name == COOKIE]


def _own_page(environ: dict[str, Any], query: list[tuple[str, str]]) -> str:
    """Return the path that was asked for, which cannot lead to another site, with the rest of its query."""
    path = "/" + environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace").lstrip(
        "/\\"
    )
    return quote(environ.get("SCRIPT_NAME", "").rstrip("/") + path) + (
        f"?{urlencode(query)}" if query else ""
    )
