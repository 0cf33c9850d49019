"""How commands end: stopped, refused, with output that fails, by an interpreter that lacks them."""

from __future__ import annotations

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from datamodules.utils.exit_codes import RESUME
from datamodules.utils.stop_signals import STOPPING
from lightning_modules.cli import names
from lightning_modules.cli.names import COMMANDS, as_typed, command_line, program
from lightning_modules.cli.process import one_line_errors, refusals_as_errors, refuse
from tests.helpers.command_line import REPOSITORY, SCRIPTS

STEMS = sorted(path.stem for path in SCRIPTS.glob("[!_]*.py"))


def run(body: str, *redirections: str) -> subprocess.CompletedProcess[str]:
    """A command, as a process of its own, in a directory of this repository."""
    program = (
        "import os, signal, sys\n"
        "from lightning_modules.cli.process import one_line_errors, run_command\n"
        f"def main():\n    {body}\nrun_command(main)\n"
    )
    shell = ["sh", "-c", f'exec "$@" {" ".join(redirections)}', "sh"]
    return subprocess.run(
        [*shell, sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Stopped


@pytest.mark.parametrize("number", STOPPING, ids=lambda n: n.name)
def test_every_signal_ends_a_command_with_a_line(number):
    done = run(f"os.kill(os.getpid(), {int(number)})")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "\nstopped\n")


def test_what_an_interrupted_import_makes_of_it_is_not_told(capsys):
    def half_imported() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RecursionError from None

    with pytest.raises(SystemExit) as stop, one_line_errors("stopped here", stopped_status=RESUME):
        half_imported()
    assert stop.value.code == RESUME
    assert capsys.readouterr().err == "\nstopped here\n"


def test_an_interruption_may_have_its_own_words(capsys):
    with pytest.raises(SystemExit) as stop, one_line_errors("stopped"):
        raise KeyboardInterrupt("4 of 6 are kept")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "\n4 of 6 are kept\n"


def test_a_command_that_ends_ignores_a_second_hang_up():
    """A shell sends it for a closed terminal, and then the system does."""
    body = "import atexit; atexit.register(os.kill, os.getpid(), signal.SIGHUP); sys.exit(75)"
    assert run(body).returncode == RESUME


@pytest.mark.parametrize("name", STEMS)
def test_every_command_is_guarded_before_it_imports_anything(name):
    """Else Ctrl-C, or an interpreter without the project, would be answered with a traceback."""
    lines = (SCRIPTS / f"{name}.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith(('"""', "#"))]
    assert code[:4] == [
        "from __future__ import annotations",
        'if __name__ == "__main__":',
        "    import _launch",
        "    _launch.check()",
    ]
    module = next(command.module for command in COMMANDS.values() if command.script == name)
    assert code[4] == f"from {module} import main"
    assert code[5:] == ['if __name__ == "__main__":', "    _launch.launch(main)"]


# Refused


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("too few"), "error: too few"),
        (FileNotFoundError(2, "No such file or directory", "cats"), "error: cats: No such file or directory"),
        (OSError("no space"), "error: no space"),
        (MemoryError(), "error: memory ran out"),
        (ModuleNotFoundError("No module named 'onnx'"), "error: No module named 'onnx'"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_cannot_be_done_is_a_line(error, line, capsys):
    with pytest.raises(SystemExit) as stop, one_line_errors():
        raise error
    assert stop.value.code == line
    with pytest.raises(SystemExit) as stop, one_line_errors(refused_status=2):
        raise error
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(KeyError), one_line_errors():
        raise KeyError("x")


def test_a_refusal_is_a_line_or_an_error(capsys):
    with pytest.raises(SystemExit) as stop:
        refuse("no such option")
    assert (stop.value.code, capsys.readouterr().err) == (2, "error: no such option\n")
    with pytest.raises(ValueError, match=r"^no such option$"), refusals_as_errors():
        refuse("no such option")
    assert capsys.readouterr().err == ""


# Output that fails


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">/dev/full 2>&1", ">&- 2>&-"])
@pytest.mark.parametrize(("body", "status"), [("print('x' * 9999)", 0), ("print('x'); sys.exit(3)", 3)])
def test_output_that_fails_changes_no_status(redirection, body, status):
    done = run(body, redirection)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_reader_that_has_gone_changes_no_status():
    reader, writer = os.pipe()
    os.close(reader)
    program = "from lightning_modules.cli.process import run_command; run_command(lambda: print('x'))"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE
    ) as child:
        os.close(writer)
        assert (child.communicate()[1], child.returncode) == (b"", 0)


# Lines to be pasted


def test_every_command_has_its_script():
    assert sorted(command.script for command in COMMANDS.values()) == STEMS


def test_a_line_can_be_pasted_where_a_script_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", ["scripts/fit.py"])
    words = shlex.split(command_line("sample", "runs/my cats; rm x/2026", "--n", 4))
    assert words[1:] == ["scripts/sample.py", "runs/my cats; rm x/2026", "--n", "4"]
    assert shlex.split(command_line("inspect"))[1] == "scripts/inspect_data.py"
    monkeypatch.setattr(sys, "argv", [str(SCRIPTS / "fit.py")])
    monkeypatch.chdir(tmp_path)
    assert Path(shlex.split(command_line("sample", "runs"))[1]).is_file()
    assert as_typed("ninelives fit x; ninelives board") == "fit.py x; board.py"
    assert program("prove") == "prove_resume.py"


@pytest.mark.parametrize("started", ["ninelives", "", "-c", "/somewhere/ipykernel_launcher.py"])
def test_a_line_can_be_pasted_anywhere_else(started, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.chdir("/")
    assert command_line("sample", "runs/my cats") == "ninelives sample 'runs/my cats'"
    assert (program("prove"), as_typed("ninelives fit")) == ("ninelives prove", "ninelives fit")


def test_the_command_is_named_so_that_it_is_found(tmp_path, monkeypatch):
    installed = tmp_path / "my venv" / "bin" / "ninelives"
    installed.parent.mkdir(parents=True)
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(installed)])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert shlex.split(command_line("fit", 1)) == ["my venv/bin/ninelives", "fit", "1"]
    monkeypatch.setenv("PATH", str(installed.parent))  # as where the venv is active
    assert command_line("fit") == "ninelives fit"


def test_the_interpreter_is_the_one_that_runs(tmp_path, monkeypatch):
    python = tmp_path / "my venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(SCRIPTS / "fit.py")])
    monkeypatch.setattr(names.sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert shlex.split(command_line("fit"))[0] == "my venv/bin/python"
    monkeypatch.setenv("PATH", str(python.parent))  # as where the venv is active
    assert shlex.split(command_line("fit"))[0] == "python"


# Interpreters that lack the project


@pytest.fixture
def launch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("launch", SCRIPTS / "_launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_right_interpreter_is_named(launch, tmp_path, monkeypatch):
    assert launch.what_is_missing() is None
    monkeypatch.setattr(sys, "argv", ["scripts/sample.py", "runs/my cats"])
    said = launch.what_is_missing(("nothing_of_the_kind",), tmp_path)
    assert "nothing_of_the_kind" in said
    assert "make fit" in said
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.chdir(tmp_path)
    said = launch.what_is_missing(("nothing_of_the_kind",), tmp_path)
    assert said.endswith(".venv/bin/python scripts/sample.py 'runs/my cats'")


def test_an_old_python_is_named(launch, monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "OLDEST", (4, 0))
    assert f"is Python {sys.version.split()[0]}" in launch.what_is_missing((), tmp_path)


@pytest.mark.parametrize("name", STEMS)
def test_an_interpreter_without_packages_is_told_in_a_line(name, tmp_path):
    command = [sys.executable, "-S", "-E", SCRIPTS / f"{name}.py", "runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {sys.executable} ")
