"""A training command line becomes a job, on the user's machine, without data and without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_modules.cloud import launch
from lightning_modules.cloud.resolve import CloudCLI, main, resolve_job
from lightning_modules.cost.settings import ModalSettings

pytestmark = [
    # Lightning 2.6 asks jsonargparse and torch in their old ways.
    pytest.mark.filterwarnings(r"ignore:[\s\S]*(JsonargparseDeprecationWarning per|deprecated in\s+v4)"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(*args: str) -> dict[str, Any]:
    return yaml.safe_load(resolve_job(args).config)


def test_runs_caches_and_data_go_to_the_volumes() -> None:
    resolved = config("--config", "demo")
    assert resolved["trainer"]["default_root_dir"] == "/runs"
    assert resolved["data"]["cache_dir"] == "/data/cache"
    assert resolved["data"]["root"] is None
    assert resolved["data"]["source"]["class_path"].endswith("RenderedCats")
    assert resolved["data"]["source"]["init_args"]["folder"] == "/data"
    assert config("--config", "cats")["data"]["source"]["init_args"]["folder"] == "/data"


def test_a_folder_is_looked_for_under_its_name_on_the_data_volume(tmp_path: Path) -> None:
    images = tmp_path / "photos" / "my_images"
    images.mkdir(parents=True)
    (images / "a.png").touch()
    job = resolve_job(["--data.root", "photos/my_images"])
    assert job.data == "/data/my_images"
    assert job.folder == "photos/my_images"
    assert resolve_job(["--data.root", "not_here"]).folder is None
    assert "photos/my_images has 1 images here" in job.summary[0]
    assert job.experiment == config("--data.root", "photos/my_images")["experiment"] == "my_images"
    assert resolve_job(["--config", "cats", "--data.root", "photos/my_images"]).experiment == "my_images-cats"
    assert config("--data.root", "/data/set/inner")["data"]["root"] == "/data/set/inner"
    assert config("--data.root", "not_here")["data"]["root"] == "/data/not_here"
    (images / "a.png").unlink()
    with pytest.raises(ValueError, match=r"photos/my_images"):
        resolve_job(["--data.root", "photos/my_images"])


def test_a_list_of_files_to_leave_out_goes_along(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("a.png\tblank\n")
    job = resolve_job(["--data.root", "my_images", "--data.quarantine", "bad.txt"])
    ((place, text),) = job.files.items()
    assert text == "a.png\tblank\n"
    assert yaml.safe_load(job.config)["data"]["quarantine"] == place
    assert place.startswith("/data/")
    with pytest.raises(ValueError, match=r"--data\.quarantine none\.txt"):
        resolve_job(["--data.root", "my_images", "--data.quarantine", "none.txt"])


def test_the_job_says_what_the_command_line_said() -> None:
    job = resolve_job(["--config", "cats", "--run", "mine", "--max-usd", "3", "--modal.gpu", "[A10]"])
    assert (job.experiment, job.run, job.max_steps, job.fresh, job.trial) == (
        "cats",
        "mine",
        24000,
        False,
        False,
    )
    assert job.settings.max_usd == 3
    assert job.settings.gpus == ["A10"]
    text = "\n".join(job.summary)
    assert "UNetDiffusion" in text
    assert "140." in text  # GFLOP per image, as in docs/configs.md
    assert "A10" in text


@pytest.mark.parametrize("given", ["H100", "H100,A100", "[H100, A100]", "H100:1", "[]"])
def test_gpus_need_no_brackets(given: str, tmp_path: Path) -> None:
    job = resolve_job(["--modal.gpu", given])
    assert job.settings == ModalSettings(gpu=given)
    (tmp_path / "demo.yaml").write_text(job.config)  # as the container takes it
    assert resolve_job(["--config", "demo.yaml"]).settings == job.settings


def test_the_resolved_configuration_resolves_to_itself(tmp_path: Path) -> None:
    job = resolve_job(["--config", "cats", "--data.batch_size", "7"])
    (tmp_path / "cats.yaml").write_text(job.config)
    again = CloudCLI(["--config", "cats.yaml"])
    parsed = yaml.safe_load(again.parser.dump(again.config, skip_none=False))
    assert parsed == yaml.safe_load(job.config)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--model.network.heads", "5"], "heads"),
        (["--sample_grid.sampling.sigma_min", "100"], "sigma_min"),
        (["--modal.timeout", "100000"], r"timeout .*\b30\b.*\b86400\b"),
        (["--config", "dogs"], "'dogs'"),
    ],
)
def test_what_cannot_work_is_refused(args: list[str], error: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        resolve_job(args)


def test_ctrl_c_during_the_check_is_a_line(monkeypatch, capsys):
    def interrupted(*_: object, **how: object) -> None:
        assert how["start_new_session"]  # the check itself would print a traceback
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_modules.cloud.launch.subprocess.run", interrupted)
    with pytest.raises(SystemExit) as stop:
        launch.resolve_job([])
    assert stop.value.code == 130
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model.optimizer.learning_rate", "-1"),
        ("--trainer.max_time", "5m"),
        ("--trainer.profiler", "foo"),
        ("--trainer.overfit_batches", "2"),
        ("--modal.gpu", "H1000"),
    ],
)
def test_a_value_that_cannot_be_names_its_option_before_there_is_an_app(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "job.json"), "--config", "demo", option, value])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert option.lstrip("-") in line
    assert not (tmp_path / "job.json").exists()


def test_devices_are_the_containers() -> None:
    assert config("--trainer.accelerator", "gpu", "--trainer.devices", "1")["trainer"]["accelerator"] == "gpu"
