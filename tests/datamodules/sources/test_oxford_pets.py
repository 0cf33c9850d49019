from __future__ import annotations

import hashlib
import http.server
import io
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from datamodules.index.index import DataError, scan_folder
from datamodules.sources import download as download_module
from datamodules.sources.download import download
from datamodules.sources.oxford_pets import OxfordPetCats

LIST = """#Image CLASS-ID SPECIES BREED ID
#ID: 1:37 Class ids
#SPECIES: 1:Cat 2:Dog
#BREED ID: 1-25:Cat 1:12:Dog
#All images with 1st letter as captial are cat images
#images with small first letter are dog images
Abyssinian_100 1 1 1
Abyssinian_2 1 1 1
American_dog_7 2 2 1
British_Shorthair_12 10 1 5
beagle_1 5 2 4
"""
CATS = [
    "Abyssinian/Abyssinian_100.jpg",
    "Abyssinian/Abyssinian_2.jpg",
    "British_Shorthair/British_Shorthair_12.jpg",
]


@dataclass
class Server:
    """Files on loopback, the requests that were made, and how many connections to break half-way."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    breaks: int = 0
    ranges: bool = True
    status: int = 200


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.requests.append((self.path, asked))
            content = state.files.get(self.path)
            if content is None or state.status != 200:
                self.send_error(404 if content is None else state.status)
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and state.ranges else 0
            if start >= len(content) > 0:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = len(content)
            if state.breaks:
                state.breaks -= 1
                end = start + (len(content) - start) // 2
            self.wfile.write(content[start:end])

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download_module, "PAUSE_S", 0.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        running.shutdown()
        thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archive(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def jpeg(value: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(content, "JPEG")
    return content.getvalue()


def photographs() -> dict[str, bytes]:
    names = [
        "Abyssinian_100",
        "Abyssinian_2",
        "American_dog_7",
        "British_Shorthair_12",
        "beagle_1",
        "Bombay_9",
    ]
    images = {f"images/{name}.jpg": jpeg(20 * number) for number, name in enumerate(names)}
    return {**images, "images/Abyssinian_100.mat": b"matlab", "images/../../Abyssinian_2.jpg": b"outside"}


def serve(server: Server, images: bytes, annotations: bytes) -> None:
    server.files = {"/images.tar.gz": images, "/annotations.tar.gz": annotations}


def pets(server: Server, folder: Path) -> OxfordPetCats:
    return OxfordPetCats(
        folder=folder,
        images_url=f"{server.url}/images.tar.gz",
        annotations_url=f"{server.url}/annotations.tar.gz",
        images_sha256=sha256(server.files["/images.tar.gz"]),
        annotations_sha256=sha256(server.files["/annotations.tar.gz"]),
    )


# The data set


@pytest.mark.parametrize("mode", ["w:gz", "w"])  # some mirrors serve a plain tar under this name
def test_listed_cats_become_one_folder_per_breed(server: Server, tmp_path: Path, mode: str) -> None:
    serve(server, archive(photographs(), mode), archive({"annotations/list.txt": LIST.encode()}, mode))
    root = pets(server, tmp_path / "data").prepare()
    assert root == tmp_path / "data" / "oxford-pet-cats"
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*")) == CATS
    assert (root / CATS[1]).read_bytes() == jpeg(20)
    assert scan_folder(root).class_names == ("Abyssinian", "British_Shorthair")
    left = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert left == ["oxford-iiit-pet", "oxford-pet-cats"]  # no temporary folder, nothing outside


def test_second_preparation_asks_nothing(server: Server, tmp_path: Path) -> None:
    serve(server, archive(photographs()), archive({"annotations/list.txt": LIST.encode()}))
    source = pets(server, tmp_path)
    source.prepare()
    server.requests.clear()
    assert source.prepare() == tmp_path / "oxford-pet-cats"
    assert server.requests == []


def test_archives_put_there_by_hand_are_used(server: Server, tmp_path: Path) -> None:
    serve(server, archive(photographs()), archive({"annotations/list.txt": LIST.encode()}))
    source = pets(server, tmp_path)
    (tmp_path / "oxford-iiit-pet").mkdir()
    for name, content in server.files.items():
        (tmp_path / "oxford-iiit-pet" / name[1:]).write_bytes(content)
    assert source.prepare().is_dir()
    assert server.requests == []


def test_published_sources_are_complete() -> None:
    source = OxfordPetCats()
    for url, checksum in (
        (source.images_url, source.images_sha256),
        (source.annotations_url, source.annotations_sha256),
    ):
        assert url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}", checksum)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("../../etc/passwd_1 1 1 1\n", "passwd_1 1 1 1"),
        ("Abyssinian_1 1 1\n", "'Abyssinian_1 1 1'"),
        ("beagle_1 5 2 4\n", r"annotations/list\.txt .*cat"),
    ],
)
def test_list_that_is_not_as_published(server: Server, tmp_path: Path, text: str, complaint: str) -> None:
    serve(server, archive(photographs()), archive({"annotations/list.txt": text.encode()}))
    with pytest.raises(DataError, match=complaint):
        pets(server, tmp_path).prepare()
    assert not (tmp_path / "oxford-pet-cats").exists()


def test_annotations_without_a_list(server: Server, tmp_path: Path) -> None:
    for packed in (archive({"annotations/other.txt": b""}), b"no archive"):
        serve(server, archive(photographs()), packed)
        with pytest.raises(DataError, match=r"annotations/list\.txt"):
            pets(server, tmp_path / sha256(packed)).prepare()


def test_archive_that_lacks_a_listed_cat_publishes_nothing(server: Server, tmp_path: Path) -> None:
    images = photographs()
    del images["images/Abyssinian_2.jpg"]
    serve(server, archive(images), archive({"annotations/list.txt": LIST.encode()}))
    with pytest.raises(DataError, match=r"\b1 of 3\b.*images/Abyssinian_2\.jpg"):
        pets(server, tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["oxford-iiit-pet"]


def test_images_that_are_no_archive(server: Server, tmp_path: Path) -> None:
    serve(server, b"no archive", archive({"annotations/list.txt": LIST.encode()}))
    with pytest.raises(DataError, match=r"images\.tar\.gz "):
        pets(server, tmp_path).prepare()


# The download

CONTENT = bytes(range(256)) * 4000


def test_broken_connection_is_continued_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.files, server.breaks = {"/file": CONTENT}, 2
    download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    half, three_quarters = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert [asked for _, asked in server.requests] == [None, f"bytes={half}-", f"bytes={three_quarters}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_later_run_continues_an_interrupted_one(server: Server, tmp_path: Path) -> None:
    server.files = {"/file": CONTENT}
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert server.requests == [("/file", "bytes=1000-")]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_part_that_is_complete_already(server: Server, tmp_path: Path) -> None:
    server.files = {"/file": CONTENT}
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.files, server.ranges, server.breaks = {"/file": CONTENT}, False, 1
    download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_attempts_are_bounded_and_what_is_there_stays(server: Server, tmp_path: Path) -> None:
    server.files, server.breaks = {"/file": CONTENT}, 1000
    with pytest.raises(DataError, match=f"{len(CONTENT):,} bytes"):
        download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert len(server.requests) == download_module.ATTEMPTS
    assert not (tmp_path / "file").exists()
    kept = (tmp_path / "file.part").read_bytes()
    assert kept
    assert CONTENT.startswith(kept)


@pytest.mark.parametrize("start", [b"", b"rubbish from elsewhere"])
def test_wrong_checksum_is_deleted_and_raised(server: Server, tmp_path: Path, start: bytes) -> None:
    server.files = {"/file": CONTENT}
    (tmp_path / "file.part").write_bytes(start)
    wanted = sha256(b"something else") if not start else sha256(CONTENT)
    with pytest.raises(DataError, match="checksum"):
        download(f"{server.url}/file", tmp_path / "file", wanted)
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_there_is_verified_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"wrong")
    with pytest.raises(DataError, match="checksum"):
        download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert server.requests == []


def test_refusal_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="404"):
        download(f"{server.url}/missing", tmp_path / "file", sha256(CONTENT))
    assert len(server.requests) == 1


def test_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.files, server.status = {"/file": CONTENT}, 503
    with pytest.raises(DataError, match="503"):
        download(f"{server.url}/file", tmp_path / "file", sha256(CONTENT))
    assert len(server.requests) == download_module.ATTEMPTS


def test_without_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download_module, "PAUSE_S", 0.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, but nobody listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        source = OxfordPetCats(tmp_path, f"{url}/images.tar.gz", f"{url}/annotations.tar.gz")
        with pytest.raises(DataError) as caught:
            source.prepare()
    message = str(caught.value)
    assert f"{url}/annotations.tar.gz" in message
    assert str(tmp_path / "oxford-iiit-pet" / "annotations.tar.gz") in message
    assert "--data.root" in message


def test_only_web_addresses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="https"):
        download("file:///etc/passwd", tmp_path / "file", sha256(b""))


def test_two_at_once_download_once(server: Server, tmp_path: Path) -> None:
    server.files = {"/file": CONTENT}
    calls = [
        threading.Thread(target=download, args=(f"{server.url}/file", tmp_path / "file", sha256(CONTENT)))
        for _ in range(4)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
