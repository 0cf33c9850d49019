"""Every command of the README and of `docs/` works: those that take seconds are run here, made small."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.cli import main
from tests.docs.groups import GROUPS, SCRIPTS, Command, group, members, plain
from tests.helpers.command_line import DIT, LIGHTNING_WARNINGS, UNET, shrunk
from tests.helpers.pages import commands
from tests.helpers.places import CONFIGS

pytestmark = LIGHTNING_WARNINGS

SMALL = {
    "sample": ["--n", "2", "--batch-size", "2"],
    "evaluate": ["--n", "20", "--batch-size", "20", "--features", "random", "--no-plots"],
}
"""What makes a command small; it stands behind what the page says."""

HERE = {"step=00001300.ckpt": "step=00000002.ckpt"}
"""What the pages name of a demo that was trained to its end, and what the tests' shorter one has for it."""


FAST = (
    "sample runs/demo",
    "inspect",
    "fit --data.root my_images",
    "fit --help",
    "fit --fast-dev-run",
    "--help",
)
"""Beginnings of the commands that a change is tested with at once."""


def marked(command: Command) -> object:
    """A command as a parameter of a test, which is slow unless it is one of the fast ones."""
    line = shlex.join(command[1:])
    return pytest.param(command, marks=[] if line.startswith(FAST) else pytest.mark.slow, id=line)


def test_every_command_is_tested() -> None:
    for command, where in commands().items():
        assert group(plain(command)), f"{where}: {shlex.join(command)}: put it into tests/docs/groups.py"
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for name in GROUPS:
        assert members(name), name
        assert f'members("{name}")' in tests, name


def test_what_is_mentioned_exists() -> None:
    for command in members("mention"):
        assert command[0] != "ninelives" or command[1] in SCRIPTS


def config_of(args: list[str]) -> str:
    return args[args.index("--config") + 1] if "--config" in args else "demo"


def is_unet(args: list[str]) -> bool:
    """Whether a command trains a UNet."""
    if "--model" in args:
        return args[args.index("--model") + 1] == "UNetDiffusion"
    config = yaml.safe_load((CONFIGS / f"{config_of(args)}.yaml").read_text())
    return config["model"]["class_path"] == "UNetDiffusion"


def small(name: str, args: list[str], here: Path) -> list[str]:
    """A command's arguments, made small: for `fit` before what the page says, which wins."""
    if "--self-test" in args:
        many = RenderedCats(count=240, size=32, folder=here).prepare()  # enough for the metrics to notice
        return [*args, "--data", str(many), "--features", "random", "--no-plots"]
    if name != "fit" or "--help" in args:
        return [*args, *SMALL.get(name, [])]
    every = ["--evaluation.every_n_steps", "2"] if "--evaluation.every_n_steps" in args else []
    network = UNET if is_unet(args) else DIT
    return [*shrunk(here / "my_images", here), "--experiment", "reader", *network, *args, *every]


@pytest.mark.parametrize("command", [marked(command) for command in members("here")])
def test_a_command_works(
    command: Command,
    here: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, *args = command[1:]
    if "runs/cats" in args:
        shutil.copytree(request.getfixturevalue("cats"), here / "runs" / "cats", symlinks=True)
    monkeypatch.setenv("HOME", str(here))  # where completion is installed
    monkeypatch.setenv("SHELL", "/bin/bash")
    for old, new in HERE.items():
        args = [word.replace(old, new) for word in args]
    status: object = None
    try:
        main.run([name, *small(name, args, here)])
    except SystemExit as stopped:
        status = stopped.code
    assert not status, capsys.readouterr().err
