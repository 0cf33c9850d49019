"""Systems that are meant, and those that are not: what only Linux has is taken away, and Windows is told."""

from __future__ import annotations

import fcntl
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datamodules.cache.build import _usable_cores
from datamodules.utils import locks, system
from lightning_modules.cloud import preflight
from lightning_modules.cloud.command import Command
from lightning_modules.cloud.launch import prepare
from lightning_modules.resume_proof import child, leaks
from tests.helpers.places import REPOSITORY as ROOT
from tests.helpers.tiny import data

WINDOWS = "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; "


def on_windows(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WINDOWS + code, *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def test_which_systems_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, meant in {"linux": True, "darwin": True, "win32": False, "cygwin": False}.items():
        monkeypatch.setattr(sys, "platform", name)
        assert (system.unsupported() is None) == meant
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert "fcntl" in str(system.unsupported())


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("[a-z]*.py")))
def test_every_script_says_so_in_a_line_before_it_imports_anything(script: str) -> None:
    code = (
        "import runpy; sys.path[0] = sys.argv[1]; del sys.argv[:2]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    result = on_windows(code, str(ROOT / "scripts"), str(ROOT / "scripts" / script), "--help")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "WSL" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID"])
def test_a_variable_that_holds_no_number_is_told_in_a_line(name: str) -> None:
    command = [sys.executable, ROOT / "scripts" / "fit.py", "--help"]
    for value, status in {"": 0, " ": 0, "0": 0, "x": 2}.items():
        result = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, name: value}, check=False
        )
        assert result.returncode == status
        assert (result.stderr.count("\n"), name in result.stderr) == ((1, True) if status else (0, False))


@pytest.mark.slow
def test_lightning_is_imported_where_the_rank_is_empty() -> None:
    code = "import runpy, sys; sys.path[0] = sys.argv[1]; import _launch; _launch.check(); import lightning"
    command = [sys.executable, "-c", code, str(ROOT / "scripts")]
    subprocess.run(command, env={**os.environ, "RANK": ""}, check=True)


def test_modal_says_so_before_there_is_an_app(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as stopped:
        prepare(Command("upload_data", ["."]))
    assert stopped.value.code == 2
    assert "WSL" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["datamodules.utils.locks", "lightning_modules.run.lock"])
def test_the_library_says_so_when_it_is_imported(module: str) -> None:
    result = on_windows(f"import {module}")
    assert result.returncode == 1
    assert "WSL" in result.stderr.splitlines()[-1]


def test_no_module_imports_what_windows_lacks_by_itself() -> None:
    importers = {
        str(path.relative_to(ROOT))
        for folder in ("datamodules", "lightning_modules", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if "import fcntl"
        in path.read_text(encoding="utf-8").replace("from datamodules.utils.posix import fcntl", "")
    }
    assert importers == {"datamodules/utils/posix.py", "datamodules/utils/system.py"}


# macOS


def hold(path: Path) -> subprocess.Popen[bytes]:
    """Another process that has a record lock on a file, and says when."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_who_holds_a_run_is_told_where_the_system_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(tmp_path / ".lock") as holder, (tmp_path / ".lock").open("w") as file:
        assert locks.record_lock_holder(file.fileno()) == holder.pid
        monkeypatch.setattr(sys, "platform", "freebsd")
        assert locks.record_lock_holder(file.fileno()) is None
        monkeypatch.setattr(sys, "platform", "darwin")
        answers = {(0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET): (0, 0, 4321, fcntl.F_WRLCK, os.SEEK_SET)}
        mac = lambda _, __, asked: struct.pack("qqihh", *answers[struct.unpack("qqihh", asked)])  # noqa: E731
        monkeypatch.setattr(locks.fcntl, "fcntl", mac)
        assert locks.record_lock_holder(file.fileno()) == 4321
        holder.communicate()


def test_processes_are_found_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        found = [f"process {process.pid} of session {process.pid}"]
        assert leaks.leaked([process.pid], patience=0.0) == found
        monkeypatch.setattr(leaks, "PROC", tmp_path / "none")
        assert leaks.leaked([process.pid], patience=0.0) == found
        process.communicate()
    assert leaks.leaked([process.pid], patience=0.0) == []


def test_the_end_of_a_process_is_seen_without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    ended = child._end_of(process)
    assert os.read(ended, 1) == b""
    assert process.poll() == 0
    os.close(ended)


def test_figures_of_the_process_are_had_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, *args: object, **kwargs: object) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", fail)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert preflight.resident_mib() == 0.0
    assert preflight.process_age() > 0
    assert _usable_cores() == os.cpu_count()


def test_what_loads_batches_can_be_sent_to_a_spawned_worker(image_folder: Path) -> None:
    module = data(image_folder)
    module.prepare_data()
    module.setup("fit")
    loader = module.train_dataloader()
    work = pickle.loads(pickle.dumps(loader._loading._function))
    for one, other in zip(work(0), loader.dataset[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)
