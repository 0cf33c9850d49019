"""The commands of the README and of `docs/` that need a process of their own, or are only read."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.conftest import RUN
from tests.docs.groups import SCRIPTS, Command, members
from tests.helpers.command_line import DIT, LIGHTNING_WARNINGS, UNET, shrunk
from tests.helpers.places import BENCHMARKS, REPOSITORY
from tests.helpers.site import with_stand_in
from tests.modal_emulator import Emulator

pytestmark = LIGHTNING_WARNINGS

PARSE = """
import argparse, json, runpy, sys

class Parsed(Exception):
    pass

def parse(self, args=None, namespace=None, parse_args=argparse.ArgumentParser.parse_args):
    parse_args(self, args, namespace)
    raise Parsed

argparse.ArgumentParser.parse_args = parse
folder, *lines = json.loads(sys.argv[1])
sys.path[0] = folder
for line in lines:
    sys.argv = line
    try:
        runpy.run_path(line[0], run_name="__main__")
    except Parsed:
        print(line)
"""
"""Runs programs until they have parsed their options, and prints those that did."""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program to its end, and return what it printed."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def script(name: str) -> list[str]:
    """What starts a command as a process."""
    return [sys.executable, str(REPOSITORY / "scripts" / f"{SCRIPTS[name]}.py")]


@pytest.fixture
def clone(here: Path) -> Path:
    """The reader's folder as a clone, in whose virtual environment everything is installed."""
    for path in REPOSITORY.iterdir():
        if not (path.name.startswith(".") or (here / path.name).exists() or path.name == "site"):
            (here / path.name).symlink_to(path)
    programs = here / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, start in {"python": "", "pytest": "-m pytest ", "mkdocs": "-m mkdocs "}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {start}"$@"\n')
        (programs / name).chmod(0o755)
    for name in ("", "-dev", "-docs", "-eval", "-export"):
        (programs.parent / f".installed{name}").touch()
    return here


@pytest.mark.slow
def test_benchmarks_take_the_options(tmp_path: Path) -> None:
    lines = [[str(REPOSITORY / command[1]), *command[2:]] for command in members("benchmark")]
    said = run(sys.executable, "-c", PARSE, json.dumps([str(BENCHMARKS), *lines]), cwd=tmp_path)
    assert [str(line) in said for line in lines] == [True] * len(lines), said


@pytest.mark.parametrize("command", members("install"), ids=shlex.join)
def test_what_is_installed_exists(command: Command) -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if "-c" in command:
        assert (REPOSITORY / command[command.index("-c") + 1]).is_file()
    if "-e" in command:
        project = command[command.index("-e") + 1]
        assert project == "." or re.fullmatch(r"\.\[(\w+)\]", project)[1] in extras  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("command", members("service"), ids=shlex.join)
def test_modal_knows_the_command(command: Command, tmp_path: Path) -> None:
    words = [word.replace("modal_entry.py", str(REPOSITORY / "modal_entry.py")) for word in command[1:]]
    assert (
        "Usage" in (said := run(sys.executable, "-m", "modal", *words, "--help", cwd=tmp_path))
        or "link" in said
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", members("devices"), ids=shlex.join)
def test_several_devices_train(command: Command, here: Path) -> None:
    cpu = ["--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", "--trainer.precision", "32-true"]
    network = UNET if "cats" in command else DIT
    args = [*shrunk(here / "my_images", here), "--experiment", "devices", *network, *command[2:], *cpu]
    run(*script("fit"), *args, "--data.batch_size", "2", cwd=here, OMP_NUM_THREADS="1")
    assert list((here / "runs" / "devices" / "latest" / "checkpoints").glob("step=*4.ckpt"))


SERVERS = {
    "board": r"TensorBoard \S+ at http://localhost:\d+",
    "page": r"The page is at http://127\.0\.0\.1:\d+/",
}
"""What a server says."""


@pytest.mark.slow
@pytest.mark.parametrize("command", members("server"), ids=shlex.join)
def test_a_server_serves(command: Command, clone: Path) -> None:
    name = "page" if "page" in command else "board"
    if command[0] == "make" and name == "page":
        # What it builds before is another test's, and must not be built in this repository.
        command = ("ninelives", "page", command[2].removeprefix("ARGS="), "--serve")
    start = {
        "ninelives": [*script(name), *command[2:], "--port", "0"],
        "tensorboard": [sys.executable, "-m", "tensorboard.main", *command[1:], "--port", "0"],
        "make": [*command, "ARGS=--port 0"],
    }[command[0]]
    if name == "page":
        start = [sys.executable, "-c", with_stand_in(clone / "stand-in", "page"), *start[2:]]
    with subprocess.Popen(
        start,
        cwd=clone,
        env=os.environ | {"BROWSER": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout is not None
        try:
            said: list[str] = []
            while (line := server.stdout.readline()) and " at http" not in line:
                said.append(line)
            assert re.search(SERVERS[name], line), said
        finally:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("command", members("prove"), ids=shlex.join)
def test_a_proof_succeeds(command: Command, here: Path) -> None:
    length = {"trainer.max_steps", "trainer.val_check_interval", "experiment", "trainer.default_root_dir"}
    words = iter(shrunk(here / "my_images", here))
    pairs = [(name, value) for name, value in zip(words, words, strict=True) if name[2:] not in length]
    small = [word for pair in pairs for word in pair]
    more = ["--kills", "1", "--steps", "6", "--kinds", "sigkill", *UNET, "--trainer.precision", "32-true"]
    said = run(*script("prove"), *command[2:], *more, *small, cwd=here, OMP_NUM_THREADS="1")
    assert "IDENTICAL after 1 kills" in said


@pytest.mark.slow
def test_the_five_steps_to_a_gpu_on_modal(here: Path, modal_server: Emulator) -> None:
    more = {
        "upload_data": [],
        "fit": [
            *shrunk(Path("my_images"), Path("/tmp")),
            *("--experiment", "my_images-cats", "--trainer.default_root_dir", "runs", "--run", RUN),
            *("--data.cache_dir", "null", "--trainer.precision", "32-true", "--modal.gpu", "[]", *UNET),
        ],
        "sample": ["--n", "2", "--modal.gpu", "[]"],
    }
    (here / "runs" / "my_images-cats" / RUN).rename(here / "old")
    for command in sorted(members("modal"), key=in_order):
        entry = command[2].rpartition("::")[2] if command[1] == "run" else ""
        words = [word.replace("modal_entry.py", str(REPOSITORY / "modal_entry.py")) for word in command[1:]]
        words = [word for word in words if word != "--detach"]
        if command[0] == "mkdir":
            run(*command, cwd=here)
            continue
        entry = next((name for name in more if words[1].endswith(f"::{name}")), "")
        status, said = modal_server.modal(*words, *more.get(entry, []), cwd=here, timeout=400)
        assert status == 0, said
    assert list((here / "runs" / "my_images-cats").rglob("step=*4.ckpt"))


def in_order(command: Command) -> int:
    """Where a command stands among the steps."""
    steps = ("upload_data", "::fit", "mkdir", "volume get", "::sample")
    return next(number for number, step in enumerate(steps) if step in shlex.join(command))


@pytest.mark.slow
@pytest.mark.parametrize("command", members("make"), ids=shlex.join)
def test_make_does_it(command: Command, clone: Path) -> None:
    given = next((word.removeprefix("ARGS=") for word in command if word.startswith("ARGS=")), "")
    small = {
        "fit": shlex.join([*shrunk(clone / "my_images", clone), *(UNET if "unet" in given else DIT)]),
        "sample": "--n 2",
        "test": "--collect-only -q tests/test_packaging.py -n 0",
        "test-slow": "--collect-only -q tests/docs/test_site.py -n 0",
    }
    target = command[1]
    if target not in small:  # other tests build the pages and the tables; CI lints
        run("make", "-n", target, cwd=clone)
    else:
        run("make", target, f"ARGS={given} {small[target]}", cwd=clone, OMP_NUM_THREADS="1")


@pytest.mark.slow
@pytest.mark.parametrize("command", members("pytest"), ids=shlex.join)
def test_tests_are_found(command: Command) -> None:
    run(sys.executable, "-m", *command, "--collect-only", "-q", cwd=REPOSITORY)


@pytest.mark.slow
@pytest.mark.parametrize("command", members("venv"), ids=shlex.join)
def test_a_virtual_environment_is_made(command: Command, tmp_path: Path) -> None:
    run(sys.executable, *command[1:], "--without-pip", cwd=tmp_path)
    assert (tmp_path / ".venv" / "bin" / "activate").is_file()
