"""Folders that cannot be meant, caches that others could have planted, and users without a home."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.image_folder import ImageFolderDataModule
from datamodules.sources.oxford_pets import OxfordPetCats
from datamodules.sources.rendered_cats import RenderedCats
from datamodules.utils import places
from datamodules.utils.places import cache_place, default_cache_dir, existing_folder
from tests.helpers.recording import MakeFolder, ready


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
@pytest.mark.parametrize("option", ["root", "cache_dir", "quarantine"])
def test_an_empty_path_is_a_variable_that_is_not_set(option: str, empty: str) -> None:
    with pytest.raises(DataError, match=rf"^--data\.{option} .*empty"):
        ImageFolderDataModule(**{option: empty})


@pytest.mark.parametrize("source", [RenderedCats, OxfordPetCats])
def test_an_empty_folder_of_a_source(source: type[RenderedCats]) -> None:
    with pytest.raises(DataError, match=r"folder .*empty"):
        source(folder="")


def test_text_will_do_for_every_path(make_folder: MakeFolder, tmp_path: Path) -> None:
    root, listed = make_folder({"a": 6}), tmp_path / "bad.txt"
    listed.write_text("a/0000.png\n")
    module = ImageFolderDataModule(
        str(root), image_size=8, cache_dir=str(tmp_path / "cache"), quarantine=str(listed)
    )
    module.setup()
    assert len(module.train_labels) + len(module.val_labels) == 5
    assert len(list((tmp_path / "cache").iterdir())) >= 2
    alike = RenderedCats(count=6, size=8, folder=str(tmp_path / "drawn"))
    assert len(list(ImageFolderDataModule(source=alike)._folder().iterdir())) == 6


def test_the_current_folder_may_be_meant(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_folder({"a": 6}))
    for name in (".", "./", "a/.."):
        assert ready(Path(name)).class_names == ("a",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/", "file system"),
        ("//", "file system"),
        ("a.zip", "unpack"),
        ("a.tar.gz", "unpack"),
        ("a.jpg", r"a\.jpg .*file"),
        ("ims", r" imgs\?"),
        ("im*s", "pattern"),
        ("$IMAGES/x", "shell"),
        ("none/at/all", "exist"),
        ("~nobody_of_this_name/x", "reached"),
        ("nul\0l", "reached"),
        ("x" * 5000, "reached"),
    ],
)
def test_what_is_no_folder_of_images_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("imgs").mkdir()
    for name in ("a.zip", "a.tar.gz", "a.jpg"):
        Path(name).touch()
    with pytest.raises(DataError, match=said) as refused:
        existing_folder(given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["~", "{home}", "{home}/", "{home}/images/.."])
def test_the_home_folder_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match="home"):
        existing_folder(given.format(home=tmp_path))


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert existing_folder("~/images") == (tmp_path / "images").resolve()


# Caches


class User:
    """The user that the process seems to be, and the owner that folders seem to have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uid, self.owner, self.group, self.mode = 1000, 1000, 50, 0o755
        monkeypatch.setattr(os, "geteuid", lambda: self.uid)
        monkeypatch.setattr(os, "getegid", lambda: 1000)
        monkeypatch.setattr(os, "getgroups", lambda: [60])
        monkeypatch.setattr(Path, "stat", lambda path, **_: self.status(path))
        monkeypatch.setattr(Path, "lstat", lambda path: self.status(path))

    def status(self, path: Path) -> os.stat_result:
        fields = list(os.stat(path))  # noqa: PTH116
        own = path.name.startswith("user-")
        fields[0] = stat.S_IFDIR | (0o700 if own else self.mode)
        fields[4], fields[5] = self.owner, self.group
        return os.stat_result(fields)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> User:
    return User(monkeypatch)


@pytest.mark.parametrize(
    ("uid", "owner", "group", "mode"),
    [
        (1000, 1000, 50, 0o755),
        (1000, 1000, 50, 0o775),
        (1000, 0, 50, 0o755),
        (1000, 2000, 60, 0o2775),  # a colleague's, shared on purpose
        (0, 2000, 50, 0o755),  # a volume in a container
    ],
)
def test_a_cache_that_is_trusted(
    user: User, tmp_path: Path, uid: int, owner: int, group: int, mode: int
) -> None:
    user.uid, user.owner, user.group, user.mode = uid, owner, group, mode
    assert cache_place(tmp_path) == tmp_path.resolve()


@pytest.mark.parametrize(("group", "mode"), [(50, 0o755), (60, 0o755), (50, 0o775), (50, 0o777)])
def test_a_cache_of_somebody_else_is_refused(user: User, tmp_path: Path, group: int, mode: int) -> None:
    user.owner, user.group, user.mode = 2000, group, mode
    with pytest.raises(DataError, match="XDG_CACHE_HOME") as refused:
        cache_place(tmp_path)
    assert "user 2000" in str(refused.value)


def test_where_everybody_may_write_a_folder_of_ones_own_is_used(user: User, tmp_path: Path) -> None:
    user.mode = 0o1777
    assert cache_place(tmp_path) == tmp_path.resolve() / "user-1000"
    assert stat.S_IMODE(os.stat(tmp_path / "user-1000").st_mode) == 0o700  # noqa: PTH116
    user.owner = 2000
    with pytest.raises(DataError, match="user 2000"):
        cache_place(tmp_path)


def test_a_planted_cache_is_not_used(make_folder: MakeFolder, tmp_path: Path) -> None:
    root, shared = make_folder({"a": 6}), tmp_path / "shared"
    shared.mkdir()
    images = ready(root, cache_dir=shared).train_images
    (built,) = shared.glob("*/images.npy")
    shared.chmod(0o777)
    planted = built.read_bytes()
    module = ready(root, cache_dir=shared)
    (own,) = shared.glob("user-*/*/images.npy")
    assert own.parent.parent.name == f"user-{os.geteuid()}"
    assert built.read_bytes() == planted
    assert (module.train_images == images).all()


def test_a_cache_is_made_so_that_nobody_else_can_write_to_it(make_folder: MakeFolder, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ready(make_folder({"a": 6}), cache_dir=tmp_path / "new")
    finally:
        os.umask(before)
    assert not stat.S_IMODE((tmp_path / "new").stat().st_mode) & stat.S_IWOTH


# No home


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    places._temporary_cache.cache_clear()
    return tmp_path / "tmp"


def test_without_a_home_the_cache_is_a_temporary_one(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    expected = temporary / f"ninelives-{os.geteuid()}"
    assert default_cache_dir() == expected == default_cache_dir()
    assert stat.S_IMODE(expected.stat().st_mode) == 0o700
    (warning,) = caplog.messages
    assert "XDG_CACHE_HOME" in warning


def test_without_any_place_the_variable_is_named(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DataError, match="XDG_CACHE_HOME"):
        default_cache_dir()


def test_a_home_that_cannot_be_written_to(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert default_cache_dir().parent == temporary
    assert "XDG_CACHE_HOME" in caplog.text


def test_a_home_is_used_where_there_is_one(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "ninelives"
    assert caplog.text == ""
