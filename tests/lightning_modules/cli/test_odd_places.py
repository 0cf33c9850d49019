"""Files and folders that somebody may take for a run: one line each, whatever the script."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, refusal

pytestmark = LIGHTNING_WARNINGS

COMMANDS = [
    ("sample", []),
    ("evaluate", ["--features", "random", "--no-plots"]),
    ("export", ["--to", "safetensors"]),
    ("export", ["--to", "onnx"]),
]


@pytest.fixture
def odd_places(trained: Run, tmp_path: Path) -> dict[str, Path]:
    """What is no run, by name."""
    folder = tmp_path / "odd"
    (folder / "empty").mkdir(parents=True)
    (folder / "unstarted" / "checkpoints").mkdir(parents=True)
    (folder / "unstarted" / "config.yaml").write_text("{}")
    texts = ("a.onnx", "a.json", "a.yaml", "a.txt", "a.ckpt", "b.npz", "a.safetensors", "c.corrupt")
    for name in texts:
        (folder / name).write_text("something else")
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    np.savez(folder / "c.npz", mine=np.zeros(3))
    np.savez(folder / "d.npz", np.zeros((3, 4)))
    save_file({"weight": torch.zeros(3)}, folder / "foreign.safetensors")
    torch.save({"weight": torch.zeros(3)}, folder / "weights.pt")
    torch.save([1, 2], folder / "list.ckpt")
    torch.save({"global_step": 3, "state_dict": {}, "model": "Somebody"}, folder / "other.ckpt")
    torch.save(Path("a"), folder / "pickle.ckpt")
    (folder / "empty.ckpt").touch()
    shutil.copy(trained.folder / "checkpoints" / "last.ckpt", folder / "cut.ckpt")
    with (folder / "cut.ckpt").open("rb+") as file:
        file.truncate(5000)
    absent = ("nowhere", "nowhere.ckpt", "nowhere/at/all")
    return {path.name: path for path in folder.iterdir()} | {name: folder / name for name in absent}


@pytest.mark.parametrize(("script", "args"), COMMANDS, ids=str)
def test_what_is_no_run_is_refused_in_a_line_that_names_it(script, args, odd_places, capsys):
    folder = odd_places["empty"].parent
    before = sorted(folder.rglob("*"))
    for name, place in odd_places.items():
        against = ["--against", str(place)] if script == "evaluate" and name == "empty" else []
        status, error = refusal([str(place), *args, *against], capsys, script)
        assert status == 1, name
        assert error.startswith("error: "), (name, error)
        assert len(error.strip().splitlines()) == 1, (name, error)
        assert name.partition("/")[0] in error, (name, error)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(("script", "args"), COMMANDS, ids=str)
def test_a_pickle_is_named_and_not_advised_to_be_loaded(script, args, odd_places, capsys):
    error = refusal([str(odd_places["pickle.ckpt"]), *args], capsys, script)[1]
    assert "pathlib" in error
    assert "weights_only" not in error


@pytest.mark.parametrize(("script", "args"), [*COMMANDS[:1], *COMMANDS[2:]], ids=str)
def test_a_damaged_checkpoint_is_not_used(script, args, trained: Run, tmp_path, capsys):
    run = shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    with (run / "checkpoints" / "step=00000004.ckpt").open("rb+") as file:
        middle = file.seek(0, 2) // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 1]))
    status, error = refusal([str(run), *args], capsys, script)
    assert status == 1
    assert "checksum" in error


def test_a_guide_that_was_deleted_is_answered_with_those_there_are(trained: Run, capsys):
    gone = trained.folder / "checkpoints" / "step=00000001.ckpt"
    args = [str(trained.folder), "--guidance", "2", "--guide-run", str(gone)]
    status, error = refusal(args, capsys, "sample")
    assert status == 1
    assert all(text in error for text in ("--guide-run", "step=00000002.ckpt", "step=00000004.ckpt"))
