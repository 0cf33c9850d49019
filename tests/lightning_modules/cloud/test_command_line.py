"""The stock command line before and around a run: help, refusals, uploads, what is asked of the service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_modules.cloud.help import HELP
from tests.helpers.cloud import ENTRY, REPOSITORY, Cloud


def without_server(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`modal ARGUMENTS` without a token, and with a server address where nobody answers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODAL_")}
    environment |= {
        "MODAL_SERVER_URL": "http://127.0.0.1:9",
        "MODAL_CONFIG_PATH": str(cwd / "none.toml"),
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "modal", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def assert_no_web_function(cloud: Cloud) -> None:
    """Nothing of any app answers on the web."""
    created = cloud.server.requests("FunctionPrecreate")
    assert {request.function_name for request in created} == {"train", "run_command"}
    assert not any(request.webhook_config.type for request in created)


@pytest.mark.parametrize("entry", HELP)
def test_help_needs_neither_token_nor_server(entry: str, tmp_path: Path) -> None:
    result = without_server("run", f"{ENTRY}::{entry}", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == HELP[entry]
    assert f"  modal run modal_entry.py::{entry}" in result.stdout


@pytest.mark.slow
def test_the_forecast_is_told_before_anything_is_asked_of_the_service(tmp_path: Path) -> None:
    result = without_server("run", f"{ENTRY}::fit", "--modal.gpu", "H100", cwd=tmp_path)
    assert result.returncode == 1  # there is no token
    forecast = result.stdout[result.stdout.index("Forecast") :]
    assert "H100" in forecast
    assert "$" in forecast
    assert "Seed set" not in result.stdout + result.stderr


def test_importing_the_entry_file_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]); "
        "heavy = ('torch', 'lightning', 'numpy', 'jsonargparse', 'PIL', 'yaml'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-c", code, ENTRY], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data.batch_sise", "3"], "--data.batch_size?"),
        (["--modal.gpu", "[Z80]"], "'Z80'"),
        (["--modal.gpus", "L4"], "--modal.gpu "),
    ],
)
@pytest.mark.slow
def test_a_wrong_option_is_refused_here_and_no_app_is_created(
    modal_server, tmp_path: Path, arguments: list[str], says: str
) -> None:
    status, output = modal_server.modal("run", f"{ENTRY}::fit", *arguments, cwd=tmp_path)
    assert status == 2, output
    assert says in output
    assert "Traceback" not in output
    assert not modal_server.requests("AppCreate")


@pytest.mark.slow
def test_data_that_was_not_uploaded_costs_no_container(cloud: Cloud) -> None:
    status, output = cloud.fit(data__root="dogs")
    assert status == 2
    assert "modal run modal_entry.py::upload_data dogs" in output
    assert cloud.server.runs("train") == []


@pytest.mark.slow
def test_what_the_modal_section_asks_for_reaches_the_service(cloud: Cloud) -> None:
    config = cloud.here / "my.yaml"
    config.write_text(
        (REPOSITORY / "configs" / "demo.yaml").read_text()
        + "modal:\n  gpu: [h100, A100-80GB, L4]\n  region: [eu]\n  timeout: 7200\n  cpu: 8\n"
        "  memory: 32768\n  runs_volume: my-runs\n"
    )
    options = ["--data.root", "dogs", "--modal.max_retries", "3"]
    status, output = cloud.run("fit", "--config", str(config), *options)
    assert status == 2, output  # for there are no dogs; the functions exist by then
    train = cloud.server.function("train")
    assert train.gpus == ["H100", "A100-80GB", "L4"]
    assert train.definition.timeout_secs == 7200
    assert train.definition.retry_policy.retries == 3
    assert train.definition.retry_policy.initial_delay_ms == 0
    assert list(train.definition.scheduler_placement.regions) == ["eu"]
    assert train.definition.single_use_containers
    assert {mount.mount_path for mount in train.definition.volume_mounts} == {"/data", "/runs"}
    assert cloud.server.published("my-runs").is_dir()
    lines = cloud.server.images.lines(train.definition.image_id)
    install = " ".join(line for line in lines if "uv pip install" in line)
    assert "--constraint /constraints.txt" in install
    assert "lightning>=2.6,<2.7" in install
    assert any("python:3.11" in line for line in lines)
    assert_no_web_function(cloud)


@pytest.mark.slow
def test_a_gpu_that_is_not_there_stops_before_a_step_and_another_machine_is_tried(cloud: Cloud) -> None:
    status, output = cloud.fit(modal__gpu="[L4]", modal__max_retries=1)
    assert status == 1
    assert output.count("error: CUDA: no GPU found") == 1
    assert "Traceback" not in output
    assert len(cloud.server.runs("train")) == 2
    assert cloud.checkpoints() == []


@pytest.mark.slow
def test_a_module_that_is_not_in_the_container_is_named_before_any_training(cloud: Cloud) -> None:
    checkout = cloud.checkout()
    (checkout / "a_helper.py").touch()  # found here, next to the packages, and not shipped
    with (checkout / "lightning_modules" / "models.py").open("a") as file:
        file.write("import a_helper\n")
    entry = f"{checkout / 'modal_entry.py'}::fit"
    status, output = cloud.server.modal("run", entry, *cloud.options(), cwd=cloud.here, timeout=400)
    assert status == 2
    error = "error: import lightning_modules.models: ModuleNotFoundError: No module named 'a_helper'"
    assert output.count(error) == 1
    assert "Traceback" not in output
    assert "First training step" not in cloud.text()
    assert len(cloud.server.runs("train")) == 1


@pytest.mark.slow
def test_one_batch_goes_through_and_leaves_nothing(cloud: Cloud) -> None:
    status, output = cloud.run("fit", *cloud.options(), "--fast-dev-run")
    assert status == 0, output
    assert "batch" in output
    assert list(cloud.server.published("ninelives-runs").iterdir()) == []


@pytest.mark.slow
def test_a_folder_is_uploaded_once(cloud: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(bytes([number]) * (number + 1))
    (folder / ".hidden").touch()
    (folder / "notes.txt").touch()
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "thumbnail.png").touch()
    status, output = cloud.run("upload_data", str(folder))
    assert status == 0, output
    assert ": 1 .txt" in output
    train = "modal run modal_entry.py::fit --data.root 'my images'"
    assert re.search(r"\b3 images\b.*\b0\b", output)
    assert train in output
    (folder / "1.png").write_bytes(b"another size")
    status, output = cloud.run("upload_data", str(folder))
    assert re.search(r"\b1 image\b.*\b2\b", output)
    assert_no_web_function(cloud)
    published = cloud.server.published("ninelives-data") / "my images"
    assert {path.name: path.read_bytes() for path in published.iterdir()} == {
        "0.png": b"\0",
        "1.png": b"another size",
        "2.png": b"\2\2\2",
    }
