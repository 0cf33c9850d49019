"""A download that goes on where it stopped and is verified before it gets its name."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from datamodules.index.index import DataError
from datamodules.utils.io import file_digest, publish, sync
from datamodules.utils.locks import lock
from datamodules.utils.progress import progress

ATTEMPTS = 5
PAUSE_S = 1.0
"""Seconds before the second attempt; doubled before each further one."""

_TIMEOUT_S = 30.0
_BLOCK_BYTES = 1 << 20


class _RefusedError(Exception):
    """The server says no; asking again would not change that."""


def download(url: str, target: Path, sha256: str) -> None:
    """Download a file, unless it is there already.

    Bytes are collected in `<target>.part`, which the next attempt, in this call or a later one, continues.
    Several processes may do this at once: one downloads, the others wait for it.

    Args:
        url: Address, http or https.
        target: Where to put it. It appears there only when it is whole and its checksum is right.
        sha256: The checksum, 64 hex digits.

    Raises:
        DataError: No connection after several attempts, the server refuses, or the checksum is wrong. What
            was downloaded with a wrong checksum is deleted; what is merely incomplete stays.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"cannot download {url}: only http and https addresses are known")
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        with part.open("ab") as file:
            lock(file.fileno(), part, "start no second download of it")
            if not target.exists():  # else another process finished it while this one waited
                _fetch_all(url, file, target)
                _verify(part, sha256, url)
                sync(file)
                publish(part, target)
                return
        part.unlink(missing_ok=True)
    _verify(target, sha256, url)


def _fetch_all(url: str, file: BinaryIO, target: Path) -> None:
    pause = PAUSE_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_rest(url, file)
            return
        except (OSError, http.client.HTTPException, _RefusedError) as error:
            if attempt == ATTEMPTS or isinstance(error, _RefusedError):
                raise DataError(
                    f"cannot download {url} ({error}). Start again to go on with what is there; or fetch the "
                    f"file by hand and put it at {target.resolve()}; or train on a folder of your own with "
                    "--data.root FOLDER."
                ) from error
        time.sleep(pause)
        pause *= 2


def _fetch_rest(url: str, file: BinaryIO) -> None:
    """Append to `file` what it lacks.

    Raises:
        OSError, http.client.HTTPException: The connection failed or broke; another attempt may help.
        _RefusedError: Another attempt will not help.
    """
    start = file.seek(0, 2)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # nothing is lacking; if the file is wrong, its checksum tells
            if error.code < 500 and error.code not in (408, 429):
                raise _RefusedError(f"the server answers {error.code} {error.reason}") from error
            raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:  # a server without ranges sends everything again
            start = 0
            file.truncate(0)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = progress(total=total, initial=start, desc=Path(url).name, unit="B", unit_scale=True)
        with bar:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                bar.update(len(block))
        file.flush()
        if total is not None and file.tell() < total:
            raise ConnectionError(f"the connection broke after {file.tell():,} of {total:,} bytes")


def _verify(path: Path, sha256: str, url: str) -> None:
    found = file_digest(path)
    if found != sha256:
        path.unlink()
        raise DataError(
            f"{path} had the wrong checksum (SHA-256 {found}, expected {sha256}) and was deleted; "
            f"start again to download {url} again. If that does not help, the published file has changed."
        )
