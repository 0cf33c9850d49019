"""Completion in shells: what a real bash offers, and what is left in a home."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from lightning_modules.cli import completion, main
from tests.helpers.command_line import LIGHTNING_WARNINGS

pytestmark = LIGHTNING_WARNINGS


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash."""
    path = tmp_path_factory.mktemp("completion") / "completion.bash"
    path.write_text(completion.script("bash"))
    return path


def offered(script: Path, line: str) -> set[str]:
    """What bash offers behind a command line that ends with the word to be completed, perhaps empty."""
    words = line.split(" ")
    program = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
        f"COMP_CWORD={len(words) - 1}; _shtab_ninelives; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    found = shutil.which("bash")
    assert found is not None
    done = subprocess.run([found, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return {each.strip() for each in done.stdout.splitlines()}


def test_commands_are_completed(bash: Path) -> None:
    assert offered(bash, "ninelives sam") == {"sample"}
    assert {"fit", "prove", "board"} <= offered(bash, "ninelives ")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("ninelives fit --data.ro", {"--data.root"}),
        ("ninelives fit --trainer.max_s", {"--trainer.max_steps"}),
        ("ninelives fit --conf", {"--config"}),
        ("ninelives fit --config cats-d", {"cats-dit"}),
        ("ninelives fit --fresh --model DiT", {"DiTDiffusion"}),
        ("ninelives sample --guidance", {"--guidance"}),
        ("ninelives export --to saf", {"safetensors"}),
        ("ninelives prove --kil", {"--kills"}),
        ("ninelives prove --config cats-d", {"cats-dit"}),
        ("ninelives inspect --config cats-d", {"cats-dit"}),
        ("ninelives fit --data.source Ren", {"RenderedCats"}),
    ],
)
def test_options_and_their_names_are_completed(bash: Path, line: str, wanted: set[str]) -> None:
    assert offered(bash, line) == wanted


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_script_is_installed_once(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    monkeypatch.setattr(completion, "script", lambda shell: f"# for {shell}\n")
    for _ in range(2):
        main.run(["--install-completion"])
    written = Path(capsys.readouterr().out.partition(",")[0])
    assert written.read_text() == f"# for {shell}\n"
    assert written.is_relative_to(tmp_path)
    starts = [path for path in tmp_path.iterdir() if path.is_file()]
    assert [path.read_text().count(f"source {written}") for path in starts] == [1] * (shell != "fish")


def test_what_bash_is_told_to_read_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "my data"))
    monkeypatch.setattr(completion, "script", lambda shell: "echo read\n")
    main.run(["--install-completion", "bash"])
    done = subprocess.run(["bash", str(tmp_path / ".bashrc")], capture_output=True, text=True, check=True)
    assert done.stdout == "read\n"
    shutil.rmtree(tmp_path / "my data")
    done = subprocess.run(["bash", str(tmp_path / ".bashrc")], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_without_a_known_shell_the_user_is_asked_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SHELL", raising=False)
    with pytest.raises(SystemExit) as stopped:
        main.run(["--install-completion"])
    assert stopped.value.code == 2
    assert "name it, bash, zsh" in capsys.readouterr().err
