from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from datamodules.utils.folders import whole_folder
from lightning_modules.conditioning.class_labels import ClassCondition
from lightning_modules.encoders import RGB
from lightning_modules.export.onnx_file import TOLERANCE
from lightning_modules.module import DiffusionModule
from lightning_modules.page import front_end, writing
from lightning_modules.page.writing import write_page
from lightning_modules.sampling.settings import Sampling
from tests.helpers.places import REPOSITORY
from tests.helpers.site import FILES
from tests.lightning_modules.page.conftest import GUIDE, learned, load, run_in

GUIDED = Sampling(steps=3, guidance=2.0, guide_length=GUIDE)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is written in no time, and is none: these tests look at what is around it."""

    def graph(module: DiffusionModule, path: Path, *_: object, **__: object) -> float:
        path.write_text(f"{sum(float(weight.detach().abs().sum()) for weight in module.parameters())}")
        return 0.0

    monkeypatch.setattr(writing, "write_graph", graph)


def manifest(page: Path) -> dict[str, Any]:
    return json.loads((page / "model.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(1, 3, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("a", "b"), ("one",)])
def test_a_page_has_the_model_its_guide_and_an_answer_that_is_right(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = learned(class_names=names, width=32)
    run = load(monkeypatch, run_in(tmp_path / "demo" / "one", model, GUIDED))
    page = write_page(Path("runs/demo")).folder
    assert page == run / "page"
    assert contents(page).keys() == {*FILES, "model.json", "model/denoiser.onnx", "model/guide.onnx"}
    told = manifest(page)
    question = {"x": floats(told["probe"]["x"]), "sigma": np.array([told["probe"]["sigma"]], np.float32)}
    if len(names) > 1:
        question["labels"] = np.array([told["probe"]["label"]])
    for part in ("denoiser", "guide"):
        file = page / told[part]["path"]
        assert told[part]["bytes"] == file.stat().st_size
        assert told[part]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        session = onnxruntime.InferenceSession(str(file))
        assert {each.name for each in session.get_inputs()} == question.keys()
        (answer,) = session.run(["denoised"], question)
        difference = np.abs(answer - floats(told["probe"]["denoised"])).max()
        assert (difference <= TOLERANCE) == (part == "denoiser")


@pytest.mark.slow
def test_the_guide_is_the_average_of_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = learned()
    guide = learned()
    guide.load_state_dict(guide.state_dict() | model.ema[GUIDE])
    load(monkeypatch, run_in(tmp_path / "demo" / "one", model, GUIDED))
    page = write_page(Path("runs/demo"), storage="float32").folder
    x, sigma, labels = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 4.0]), torch.tensor([1, 2])
    fed = {"x": x.numpy(), "sigma": sigma.numpy(), "labels": labels.numpy()}
    (answer,) = onnxruntime.InferenceSession(str(page / "model/guide.onnx")).run(None, fed)
    with torch.no_grad():
        expected = guide.eval()(x, sigma, ClassCondition(labels)).numpy()
    np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    for name in ("one", "other"):
        load(monkeypatch, run_in(tmp_path / "demo" / "run", learned(width=32)))
        pages.append(contents(write_page(Path("runs/demo"), tmp_path / name).folder))
    assert pages[0] == pages[1]
    assert not any(str(REPOSITORY).encode() in content for content in pages[0].values())


def test_the_manifest_says_what_the_page_needs(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = learned()
    load(monkeypatch, run_in(tmp_path / "demo" / "2026-11-23T19-12-31Z", model, GUIDED))
    told = manifest(write_page(Path("runs/demo")).folder)
    assert (told["format_version"], told["title"], told["run"]) == (1, "demo", "2026-11-23T19-12-31Z")
    assert (told["step"], told["weights"], told["weights_dtype"]) == (9, "averaged", "int16")
    assert told["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert told["image"] == {"channels": 3, "height": 8, "width": 8}
    assert (told["classes"], told["null_label"], told["label_guidance"]) == (["a", "b"], 2, True)
    assert Sampling.from_dict(told["sampling"]) == GUIDED
    assert told["commands"] == {"sample": "ninelives sample runs/demo"}
    assert told["figures"] == []
    assert told["denoiser"]["left_in_float32"] == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"class_names": ("one",)}, (["one"], None, False)), ({"cond_dropout": 0.0}, (["a", "b"], 2, False))],
    ids=["one class", "never dropped"],
)
def test_guidance_by_label_is_offered_where_it_means_something(
    options: dict[str, Any],
    expected: tuple[list[str], int | None, bool],
    quick: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned(**options)))
    told = manifest(write_page(Path("runs/demo")).folder)
    assert (told["classes"], told["null_label"], told["label_guidance"]) == expected


def test_settings_that_do_not_guide_have_no_guide(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned(), Sampling(guide_length=GUIDE)))
    page = write_page(Path("runs/demo")).folder
    assert not (page / "model/guide.onnx").exists()
    assert (manifest(page)["guide"], manifest(page)["sampling"]["guide_length"]) == (None, None)


def test_weights_that_two_bytes_do_not_hold_are_named(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = learned(width=32)
    name, weight = max(model.named_parameters(), key=lambda pair: pair[1].numel())
    with torch.no_grad():
        weight.view(-1)[0] = 1e6
    load(monkeypatch, run_in(tmp_path / "demo" / "run", model))
    told = manifest(write_page(Path("runs/demo"), storage="float16").folder)
    assert told["denoiser"]["left_in_float32"] == [name]


def test_hostile_names_are_plain_text(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ('<img src=x onerror="alert(1)">', "</script>", "a\u202eb\n", "\udcff")
    model = learned(class_names=hostile)
    load(monkeypatch, run_in(tmp_path / "<b>demo & 'co" / "run", model))
    page = write_page(Path("runs/demo")).folder
    assert (page / "model.json").read_bytes().isascii()
    assert manifest(page)["classes"] == list(hostile)
    assert manifest(page)["title"] == "<b>demo & 'co"
    for name, text in FILES.items():
        assert (page / name).read_text() == text  # nothing of the run is put into the page's code


@pytest.mark.parametrize("place", [Path("/home/somebody/runs/demo"), Path("../demo")], ids=str)
def test_folders_of_the_user_are_not_told(
    place: Path, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    page = write_page(place, weights="ema=0.1").folder
    assert manifest(page)["commands"]["sample"] == "ninelives sample runs/demo/run --weights ema=0.1"
    assert str(tmp_path) not in (page / "model.json").read_text()


def test_the_command_names_the_checkpoint_of_the_page(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = run_in(tmp_path / "demo" / "run", learned())
    (tmp_path / "demo" / "latest").symlink_to("run")
    latest = trained._replace(path=tmp_path / "demo" / "latest" / "checkpoints" / trained.path.name)
    load(monkeypatch, latest)
    told = manifest(write_page(latest.path).folder)
    assert told["commands"]["sample"] == f"ninelives sample runs/demo/run/checkpoints/{trained.path.name}"
    assert told["run"] == "run"  # not `latest`, which is another one soon


def test_the_command_names_the_run_of_a_folder(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = run_in(tmp_path / "demo" / "run", learned())
    load(monkeypatch, trained)
    assert manifest(write_page(Path()).folder)["commands"]["sample"] == "ninelives sample runs/demo/run"


def test_every_file_has_its_digest(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned(), GUIDED))
    page = write_page(Path("runs/demo")).folder
    files = contents(page)
    del files["model.json"]
    assert manifest(page)["files"] == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }


# What is there already


def test_a_page_is_replaced_as_a_whole(
    quick: None, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned(), GUIDED))
    page = write_page(Path("runs/demo")).folder
    (site / "assets" / "index-abc.js").rename(site / "assets" / "index-xyz.js")
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    write_page(Path("runs/demo"))
    assert contents(page).keys() == {
        *(FILES.keys() - {"assets/index-abc.js"}),
        "assets/index-xyz.js",
        "model.json",
        "model/denoiser.onnx",
    }
    assert sorted(path.name for path in page.parent.iterdir()) == ["checkpoints", "page"]


@pytest.mark.parametrize("name", ["CNAME", "assets/mine.css", "model/notes/mine.txt"])
def test_a_page_with_something_else_in_it_is_not_touched(
    name: str, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    page = write_page(Path("runs/demo")).folder
    (page / name).parent.mkdir(exist_ok=True)
    (page / name).write_text("mine")
    before = contents(page)
    with pytest.raises(ValueError, match=name):
        write_page(Path("runs/demo"))
    assert contents(page) == before


@pytest.mark.parametrize(
    "manifest_text", [None, "{}", "[]", '{"format_version": 1}', '{"format_version": 9}', "x"]
)
def test_a_folder_of_somebody_elses_is_not_touched(
    manifest_text: str | None, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    out = tmp_path / "www"
    out.mkdir()
    (out / "index.html").write_text("mine")
    if manifest_text is not None:
        (out / "model.json").write_text(manifest_text)
    before = contents(out)
    with pytest.raises(ValueError, match=r"index\.html.*--out"):
        write_page(Path("runs/demo"), out)
    assert contents(out) == before


@pytest.mark.parametrize("failing", ["copy_front_end", "write_graph", "run_figures", "write_json", "probe"])
def test_a_failure_leaves_the_old_page_and_nothing_else(
    failing: str, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    page = write_page(Path("runs/demo")).folder
    before = contents(page)
    monkeypatch.setattr(writing, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        write_page(Path("runs/demo"))
    assert contents(page) == before
    assert sorted(path.name for path in page.parent.iterdir()) == ["checkpoints", "page"]
    with pytest.raises(OSError, match="No space left"):
        write_page(Path("runs/demo"), tmp_path / "another")
    assert not (tmp_path / "another").exists()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from datamodules.utils.folders import whole_folder

    place, moment = Path(sys.argv[1]), sys.argv[2]

    def kill(event, args):
        if event == moment and (moment != "os.rename" or "new" in str(args[0])):
            os.kill(os.getpid(), signal.SIGKILL)

    with whole_folder(place, ["index.html"]) as draft:
        (draft / "index.html").write_text("new")
        sys.addaudithook(kill)
"""


@pytest.mark.parametrize("moment", ["open", "os.rename", "ctypes.call_function", "shutil.rmtree"])
def test_a_kill_leaves_a_whole_folder(moment: str, tmp_path: Path) -> None:
    place = tmp_path / "page"
    place.mkdir()
    (place / "index.html").write_text("old")
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(place), moment]
    done = subprocess.run(program, cwd=REPOSITORY, check=False, timeout=100)
    assert done.returncode in (-signal.SIGKILL, 0)  # a moment that does not come on this system
    assert (place / "index.html").read_text() in ("old", "new")
    with whole_folder(place, ["index.html"]) as draft:
        (draft / "index.html").write_text("after")
    assert [path.name for path in tmp_path.iterdir() if path.name != "site"] == ["page"]


# Refusals


def test_without_the_front_end_it_says_how_it_is_built(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    shutil.rmtree(site)
    with pytest.raises(FileNotFoundError, match=r"make frontend.*Node 20\.19"):
        write_page(Path("runs/demo"))
    assert [path.name for path in run.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_onnx_it_says_how_it_is_installed(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"{package}.*pip install '\.\[export\]'"):
        write_page(Path("runs/demo"))


def test_a_guide_that_is_not_kept_is_refused(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = learned()
    model.ema = {}
    run = load(monkeypatch, run_in(tmp_path / "demo" / "run", model, GUIDED))
    with pytest.raises(ValueError, match=r"guide_length 0\.25"):
        write_page(Path("runs/demo"))
    assert [path.name for path in run.iterdir()] == ["checkpoints"]


def test_images_that_the_page_does_not_know_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(RGB):
        pass

    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned(encoder=Elsewhere())))
    with pytest.raises(ValueError, match=r"images of RGB alone.*Elsewhere"):
        write_page(Path("runs/demo"))


def test_the_front_end_may_be_read_only(
    quick: None, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "index.html").chmod(0o444)
    load(monkeypatch, run_in(tmp_path / "demo" / "run", learned()))
    page = write_page(Path("runs/demo")).folder
    assert os.stat(page / "index.html").st_mode & 0o200  # noqa: PTH116


def test_a_full_disk_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(front_end.shutil, "copyfile", full)
    with pytest.raises(OSError, match=r"^\[Errno \d+\] No space left on device: '[^']*'$"):
        front_end.copy_front_end(tmp_path)


def test_the_built_front_end_does_not_take_the_models_names() -> None:
    built = Path(front_end.__file__).with_name("site")
    assert not {path.name for path in built.glob("*")} & {"model", "model.json"}
