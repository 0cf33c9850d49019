from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_modules.cli.huggingface import FILES
from lightning_modules.cli.model_card import title_of
from lightning_modules.export.manifest import read_manifest
from lightning_modules.trained.trained import load_trained
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, refusal, tiny

pytestmark = LIGHTNING_WARNINGS

STATED = ["--to", "huggingface", "--data-license", "CC0-1.0"]


def export(run: Path, out: Path, *args: str) -> str:
    """Publish a run into a folder, and return the card."""
    load_script("export").main([str(run), *STATED, "--out", str(out), *args])
    return (out / "README.md").read_text()


@pytest.fixture(scope="module")
def guided(cats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that samples with its own average as guide."""
    folder = tmp_path_factory.mktemp("guided")
    own = [
        "--ema.lengths=[0.25]",
        "--sample_grid.sampling.guide_length=0.25",
        "--sample_grid.sampling.guidance=2",
    ]
    load_script("fit").main([*tiny(cats, folder), "--experiment", "my cats", *own])
    return Run((folder / "runs" / "my cats" / "latest").resolve())


@pytest.fixture(scope="module")
def published(guided: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, as somebody has downloaded it."""
    out = tmp_path_factory.mktemp("published") / "my-cats"
    export(guided.folder, out, "--license", "MIT")
    return out


def test_the_folder_is_whole_and_what_it_holds_is_known(published: Path) -> None:
    assert sorted(path.name for path in published.iterdir()) == sorted(FILES)
    for name in ("model.safetensors", "guide.safetensors", "model.onnx", "guide.onnx"):
        read_manifest(published / name)
    with Image.open(published / "samples.png") as picture:
        assert picture.width > 6 * 100


def test_front_matter_and_facts(published: Path) -> None:
    text = (published / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "mit"
    assert "# my cats" in text
    for fact in ("| steps | 4 |", "| images seen | 16 |", "calico (4)", "24, of which 30% held out"):
        assert fact in text
    assert "| weights | averaged (decay 0.99) |" in text
    assert "not evaluated" in text


def test_no_path_of_the_machine_is_published(published: Path, guided: Run, cats: Path) -> None:
    for path in published.iterdir():
        content = path.read_bytes()
        for place in (cats, guided.folder, Path.home(), published.parent):
            assert str(place).encode() not in content, path.name


def test_the_program_of_the_card_gives_the_run_s_images(
    published: Path, guided: Run, elsewhere: Path, tmp_path: Path
) -> None:
    shutil.copytree(published, elsewhere / "my-cats")
    text = (published / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(program, {})
    sample = ["--labels", "calico", "--n", "16", "--out", str(tmp_path / "own")]
    load_script("sample").main([str(guided.folder), *sample])
    for index in range(16):
        name = f"{index:05d}.png"
        with Image.open(Path("pictures") / name) as one, Image.open(tmp_path / "own" / name) as other:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_the_last_line_uploads_it(trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a folder"
    text = export(trained.folder, out)
    said = capsys.readouterr().out.strip().splitlines()
    assert said[-1] == f"hf upload USER/trained '{out}' ."
    assert "Nothing was uploaded" in said[-2]
    assert "--license" in said[-2]
    assert "guide.safetensors" not in text
    assert "license_name: not-stated" in text


@pytest.mark.slow
def test_figures_are_those_of_the_newest_evaluation(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "cats" / trained.folder.name
    shutil.copytree(trained.folder, run, symlinks=True)
    load_script("evaluate").main([str(run), "--features", "random", "--n", "12", "--no-plots"])
    text = export(run, tmp_path / "out")
    assert "| floor: real against real |" in text
    assert "| ceiling: noise |" in text
    assert re.search(r"\| step 4, EMA weights [^|]*\| [-\d.]+ ±", text)
    assert "| N on each side | 12 |" in text
    assert "Mann-Whitney z" in text
    assert "not evaluated" not in text
    assert "other checkpoints" not in text
    assert str(tmp_path) not in text
    (run / "evaluation" / "report.json").write_text("{}")
    status, message = refusal([str(run), *STATED, "--out", str(tmp_path / "again")], capsys, "export")
    assert (status, "report.json" in message) == (1, True)


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["--to", "huggingface"], 2, "--data-license"),
        (["--to", "huggingface", "--data-license", "my own"], 2, "--data-license"),
        (["--to", "onnx", "--data-license", "MIT"], 2, "--data-license"),
        (["--to", "safetensors", "--license", "MIT"], 2, "--license"),
    ],
    ids=str,
)
def test_licenses_are_asked_for(
    args: list[str], status: int, says: str, trained: Run, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    stopped, message = refusal([str(trained.folder), *args], capsys, "export")
    assert stopped == status
    assert says in message
    assert len(message.strip().splitlines()) == 1
    assert not list(elsewhere.iterdir())


def test_a_folder_of_the_user_s_is_not_deleted(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".git").mkdir()
    stopped, message = refusal(
        [str(trained.folder), *STATED, "--out", str(tmp_path / "out")], capsys, "export"
    )
    assert stopped == 1
    assert ".git" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".git"]


@pytest.mark.parametrize("what", ["edited card", "other weights", "a folder", "a card alone"])
def test_files_of_a_user_s_with_the_names_of_an_export_are_not_deleted(
    what: str, published: Path, guided: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(published, out)
    changed = {"edited card": "README.md", "other weights": "model.safetensors"}
    if what in changed:
        with (out / changed[what]).open("a") as file:
            file.write("mine")
    elif what == "a folder":
        (out / "samples.png").unlink()
        (out / "samples.png").mkdir()
    else:
        for path in out.iterdir():
            if path.name != "README.md":
                path.unlink()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    stopped, message = refusal([str(guided.folder), *STATED, "--out", str(out)], capsys, "export")
    assert stopped == 1
    assert "is not as an export has left it" in message
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}


@pytest.mark.slow
def test_an_export_is_replaced_but_not_where_one_stands(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    export(trained.folder, out)
    export(trained.folder, out, "--license", "MIT")
    monkeypatch.chdir(out)
    stopped, message = refusal([str(trained.folder), *STATED, "--out", "."], capsys, "export")
    assert stopped == 1
    assert "is the folder that you are in" in message
    assert Path("README.md").is_file()


def test_a_run_that_was_copied_keeps_its_name(guided: Run, tmp_path: Path) -> None:
    copy = tmp_path / "home of alice" / guided.folder.name
    shutil.copytree(guided.folder, copy, symlinks=True)
    assert title_of(load_trained(copy)) == "my cats"
    (copy / "config.yaml").write_text("experiment: null")
    assert title_of(load_trained(copy)) == "home of alice"
