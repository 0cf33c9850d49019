"""The command: what it writes, says and refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.html_page import HtmlPage
from tests.helpers.places import SCRIPTS
from tests.helpers.scenes import scene

SCRIPT = SCRIPTS / "inspect_data.py"


def run(*args: object, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *map(str, args)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == status, result.stderr
    return result


def content(root: Path) -> dict[str, tuple[str, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files
    }


def test_report_is_whole_and_the_folder_untouched(folder: Path, tmp_path: Path) -> None:
    hostile = "cats/<script>alert(1)<\nb>.png"
    (folder / hostile).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 80), (1, 2, 3)).save(folder / hostile)
    (folder / "cats" / os.fsdecode(b"caf\xe9.jpg")).touch()
    before = content(folder)
    said = run(folder, "--parameters", "3e6", "--quarantine", "bad.txt", "--also", "copies", cwd=tmp_path)
    assert content(folder) == before
    out = tmp_path / "inspection" / "pets"
    assert sorted(path.name for path in out.iterdir()) == ["contact_sheet.png", "report.html", "report.json"]
    report = json.loads((out / "report.json").read_text())
    assert (report["decodable"], report["distinct"], report["files"]) == (21, 18, 24)
    assert report["classes"] == {"cats": 18, "dogs": 3}
    assert report["rejected"]["cats/caf\\udce9.jpg"] == "the file is empty"
    assert report["rejected"]["dogs/page.jpg"] == "not an image: a web page"
    assert report["other_files"] == {".heic": 1}
    assert report["width"]["max"] == 120
    text = (out / "report.html").read_text()
    page = HtmlPage(text)
    page.assert_alone()
    assert page.loads
    assert "<script" not in text
    assert "http" not in re.sub(r"data:image/[^\"]*", "", text)
    with Image.open(out / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 400
    for title in (finding["title"] for finding in report["findings"]):
        assert title in said.stdout
    assert "5 files in bad.txt" in said.stdout
    assert "\r" not in said.stderr


def test_sample_padding_and_an_earlier_list(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("cats/00.png\nmissing.jpg\n")
    run(
        folder,
        "--exclude",
        "old.txt",
        "--sample",
        "5",
        "--pad",
        "--out",
        "deep/er",
        "--workers",
        "0",
        cwd=tmp_path,
    )
    report = json.loads((tmp_path / "deep" / "er" / "report.json").read_text())
    assert report["decodable"] + len(report["rejected"]) == 5
    assert report["quarantined"] == {"cats/00.png": "no reason given"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "error: folder nowhere "),
        ([""], "error: folder: "),
        (["pets", "--out", " "], "error: --out: "),
        (["/"], "file system"),
        (["pets", "--out", "pets/report"], "pets; "),
        (["pets", "--exclude", "none.txt"], "none.txt "),
        (["pets", "--also", "copies"], "--quarantine FILE"),
        (["pets", "--image-size", "0"], "error: --image-size: "),
        (["pets", "--parameters", "many"], "--parameters"),
    ],
)
def test_errors_are_one_line_and_status_2(
    folder: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    assert folder.name == "pets"
    error = run(*args, cwd=tmp_path, status=2).stderr
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "inspection").exists()


def test_nothing_decodable_still_gives_a_report(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_text("words")
    said = run("bad", "--quarantine", "list.txt", cwd=tmp_path)
    assert ": 1 of 1 (100.0%)" in said.stdout
    assert (tmp_path / "inspection" / "bad" / "report.html").stat().st_size > 2000


def test_help_teaches_by_example(tmp_path: Path) -> None:
    text = run("--help", cwd=tmp_path).stdout
    assert "inspect_data.py my_images --quarantine bad.txt --also copies lookalikes borders" in text


@pytest.mark.slow
def test_config_says_how_large_the_model_is(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    scene(0).save(tmp_path / "images" / "a.png")
    run("images", "--config", "demo", "--image-size", "32", cwd=tmp_path)
    report = json.loads((tmp_path / "inspection" / "images" / "report.json").read_text())
    assert 2.8e6 < report["parameters"] < 3.2e6
    error = run("images", "--config", "dmo", cwd=tmp_path, status=2).stderr
    assert "'dmo'" in error
    assert " demo?" in error
