"""Names that become folders stay in the folder of runs; `--safe` runs no code of others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lightning_modules.cli.parsing.safety import check_safe
from lightning_modules.run.names import check_folder_name
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, printed, refusal

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

LEAVING = [
    "../x",
    "../../x",
    "/tmp/x",
    "a/b",
    "a\\b",
    "..",
    ".",
    "",
    ".hidden",
    "-x",
    "a\nb",
    " a",
    "latest",
    "a" * 300,
]


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("option", ["--experiment", "--run"])
def test_a_name_that_leaves_the_folder_is_refused(name: str, option: str) -> None:
    with pytest.raises(ValueError, match=option):
        check_folder_name(option, name)


@pytest.mark.parametrize("name", ["cats", "Meine Katzen", "v1.2", "猫", "a-b_c", "2026-11-23T19-12-31Z-2"])
def test_usual_names_are_taken(name: str) -> None:
    check_folder_name("--experiment", name)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", ".."])
@pytest.mark.parametrize("place", ["command line", "config"])
def test_nothing_is_written_outside_the_folder_of_runs(
    name: str, place: str, args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "shared.yaml").write_text(f"experiment: {name}\nmodel: DiTDiffusion\n")
    given = ["--experiment", name] if place == "command line" else ["--config", str(tmp_path / "shared.yaml")]
    at = args.index("--experiment")
    status, message = refusal([*args[:at], *args[at + 2 :], *given], capsys)
    assert status == 2
    assert "--experiment" in message.splitlines()[-1]
    assert not list(tmp_path.rglob("checkpoints"))
    assert not Path("/tmp/x/latest").exists()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", "a/b"])
def test_a_run_of_another_folder_is_refused(name: str, args: list[str], capsys: Capture) -> None:
    status, message = refusal([*args, "--run", name], capsys)
    assert status == 2
    assert "--run" in message.splitlines()[-1]


FOREIGN = {
    "callback": "trainer:\n  callbacks:\n    - class_path: evil.Callback\n",
    "callback by a word": "trainer:\n  callbacks: evil.Callback\n",
    "logger": "trainer:\n  logger:\n    class_path: evil.Logger\n",
    "function": "trainer:\n  callbacks:\n    class_path: lightning.pytorch.callbacks.LambdaCallback\n"
    "    init_args:\n      on_fit_start: os.abort\n",
    "data source": "data:\n  source:\n    class_path: evil.Source\n",
    "model": "model:\n  class_path: evil.Model\n",
    "feature network": "evaluation:\n  features: evil:network\n",
    "file of features": "evaluation:\n  features: evil.pt\n",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_safe_imports_no_code_of_others(
    kind: str, elsewhere: Path, args: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(elsewhere)
    (elsewhere / "evil.py").write_text("raise SystemExit('evil was imported')\n")
    (elsewhere / "shared.yaml").write_text(FOREIGN[kind])
    status, message = refusal([*args, "--config", "shared.yaml", "--safe"], capsys)
    assert status == 2
    assert "shared.yaml" in message
    assert "evil" not in sys.modules
    assert "evil was imported" not in message


def test_safe_looks_at_the_command_line_too(args: list[str], capsys: Capture) -> None:
    status, message = refusal([*args, "--safe", "--trainer.callbacks+=xml.dom.minidom.Node"], capsys)
    assert status == 2
    assert re.search(r"--safe: .*trainer\.callbacks.*xml\.dom\.minidom\.Node", message)


@pytest.mark.parametrize("name", ["demo", "demo-unet", "cats-128", "h100-64"])
def test_safe_takes_the_shipped_configs_and_what_a_run_leaves_behind(
    name: str, elsewhere: Path, capsys: Capture
) -> None:
    import yaml

    config = printed(["--config", name, "--safe"], capsys)
    (elsewhere / "config.yaml").write_text(yaml.safe_dump(config))
    assert printed(["--config", "config.yaml", "--safe"], capsys)["model"] == config["model"]
    check_safe("x", {"trainer": {"callbacks": [{"class_path": "lightning.pytorch.callbacks.EarlyStopping"}]}})
    check_safe("x", {"data": {"root": "my.images", "quarantine": "bad.txt"}})


def test_a_safe_run_trains(args: list[str], tmp_path: Path) -> None:
    load_script("fit").main([*args, "--trainer.max_steps", "1", "--safe"])
    assert (tmp_path / "runs").is_dir()
