"""The parts that a launch is made of, each by itself."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from lightning_modules.cloud.board import follow_once
from lightning_modules.cloud.command import Command, entry_point
from lightning_modules.cloud.container import _cancellations
from lightning_modules.cloud.job import Job
from lightning_modules.cloud.launch import prepare, settings_of, without_settings
from lightning_modules.cloud.preflight import Preflight, PreflightError, process_age, resident_mib
from lightning_modules.cloud.remote_command import on_volume, remote_arguments
from lightning_modules.cloud.run_choice import choose
from lightning_modules.cost.cost import Ledger, Work, duration, forecast
from lightning_modules.cost.prices import GPUS, REGION_FACTOR, gpu_of_device, usd_per_second
from lightning_modules.cost.settings import ModalSettings

FILE = Path("/home/me/modal_entry.py")
NOW = datetime(2026, 11, 23, 19, 12, 31, tzinfo=UTC)

# The command line


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("modal run modal_entry.py::fit --config x", Command("fit", ["--config", "x"])),
        ("modal run --detach ../a/modal_entry.py::app.fit", Command("fit", [])),
        ("modal run -m modal_entry::sample cats", Command("sample", ["cats"])),
        ("modal run other.py::fit", None),
        ("modal serve modal_entry.py", None),
        ("pytest modal_entry.py::fit", None),
    ],
)
def test_which_entry_point_a_command_line_means(line: str, command: Command | None) -> None:
    assert entry_point(line.split(), FILE) == command


def test_settings_of_a_command_without_config() -> None:
    args = ["cats", "--modal.runs_volume", "mine", "--n", "4", "--modal.gpu=[A10, T4]"]
    settings = settings_of(args)
    assert settings.runs_volume == "mine"
    assert settings.gpus == ["A10", "T4"]
    assert without_settings(args) == ["cats", "--n", "4"]
    assert settings_of(["--modal.gpu", "[]"]).gpus is None


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--modal.timeout", "60"], "--modal.timeout"),
        (["--modal.gpu", "Z80"], "'Z80'"),
        (["--modal.gpu", "H10"], " H100?"),
        (["--modal.gpus=L4"], " --modal.gpu?"),
        (["--modal.run_volume", "x"], " --modal.runs_volume?"),
        (["--modal.zzz", "x"], "--modal.data_volume, --modal.gpu, --modal.runs_volume"),
    ],
)
def test_settings_that_are_refused(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        settings_of(args)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said


@pytest.mark.parametrize(
    ("given", "gpus"),
    [
        ("H100", ["H100"]),
        ("h100,A100", ["H100", "A100-40GB"]),
        ("[H100, A100]", ["H100", "A100-40GB"]),
        ("['L4', \"T4\"]", ["L4", "T4"]),
        (["H100:1", "a10g"], ["H100", "A10"]),
        ("H100:1", ["H100"]),
        ("[]", None),
        ([], None),
        (None, None),
        ("none", None),
        ("cpu", None),
    ],
)
def test_gpus_in_every_way_of_writing_them(given: list[str] | str | None, gpus: list[str] | None) -> None:
    assert ModalSettings(gpu=given).gpus == gpus
    assert ModalSettings(gpu=ModalSettings(gpu=given).gpus).gpus == gpus


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Command("sample", ["--n", "4"]), "modal run modal_entry.py::sample cats"),
        (Command("upload_data", ["/no/such/folder"]), "/no/such/folder"),
        (Command("upload_data", []), "nothing"),
        (Command("tensorboard", ["cats"]), "cats"),
    ],
)
def test_other_entry_points_are_refused_before_there_is_an_app(
    command: Command, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        prepare(command)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"gpu": ["L4", "Z80"]}, "'Z80'"),
        ({"count": 2}, r"modal\.count .*\b2\b"),
        ({"gpu": "H100:2"}, r"modal\.gpu: H100:2\b"),
        ({"timeout": 86401}, r"modal\.timeout .*\b30\b.*\b86400\b"),
        ({"max_usd": 0}, r"modal\.max_usd "),
        ({"max_retries": 11}, r"modal\.max_retries .*\b0\b.*\b10\b"),
        ({"runs_volume": "a/b"}, r"modal\.runs_volume: 'a/b'"),
        ({"runs_volume": "x", "data_volume": "x"}, "Volume"),
    ],
)
def test_the_section_refuses_what_modal_would(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ModalSettings(**settings)


def test_the_handover_comes_before_the_timeout() -> None:
    assert ModalSettings().handover == 24 * 3600 - 900
    assert ModalSettings(timeout=100).handover == 80


def test_a_job_travels_as_plain_values() -> None:
    job = Job(
        "a: 1",
        "cats",
        10,
        "run",
        False,
        False,
        True,
        None,
        ModalSettings(gpu=["A10"], max_usd=2.5),
        "x",
        ["x"],
    )
    assert Job.from_dict(json.loads(job.as_json())) == job


# Which run

PATHS = [
    "/cats/2026-01-01T00-00-00Z/checkpoints/step=00000100.ckpt",
    "cats/2026-01-02T00-00-00Z/checkpoints/step=00000040.ckpt",
    "cats/2026-01-02T00-00-00Z/checkpoints/step=00000050.ckpt",
    "cats/2026-01-02T00-00-00Z/checkpoints/step=00000050.ckpt.sha256",
    "cats/2026-01-03T00-00-00Z/config.yaml",
    "cats/latest/checkpoints/step=00000999.ckpt",
]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((100, None, False), ("2026-01-02T00-00-00Z", 50, False)),
        ((50, None, False), ("2026-01-02T00-00-00Z", 50, True)),
        ((-1, None, False), ("2026-01-02T00-00-00Z", 50, False)),
        ((100, None, True), ("2026-11-23T19-12-31Z", 0, False)),
        ((100, "2026-01-01T00-00-00Z", False), ("2026-01-01T00-00-00Z", 100, True)),
        ((100, "mine", False), ("mine", 0, False)),
    ],
)
def test_which_run_a_job_means(asked: tuple, chosen: tuple) -> None:
    steps, run, fresh = asked
    assert choose(PATHS, "cats", steps, run, fresh, NOW) == chosen


def test_the_first_run_of_an_experiment() -> None:
    assert choose([], "cats", 100, None, False, NOW) == ("2026-11-23T19-12-31Z", 0, False)


# Cost


def test_the_price_of_a_container() -> None:
    bare = usd_per_second(None, cpu=2, memory_mib=2048, in_region=False)
    assert bare == pytest.approx(2 * 0.0000131 + 2 * 0.00000222)
    assert usd_per_second("L4", 2, 2048, False) == pytest.approx(bare + GPUS["L4"].usd_per_second)
    assert usd_per_second(None, 2, 2048, True) == pytest.approx(REGION_FACTOR * bare)


@pytest.mark.parametrize(
    ("device", "gib", "gpu"),
    [
        ("NVIDIA A100-SXM4-40GB", 39.4, "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", 79.2, "A100-80GB"),
        ("NVIDIA L4", 22, "L4"),
        ("NVIDIA L40S", 44, "L40S"),
        ("NVIDIA H100 80GB HBM3", 79, "H100"),
        ("Tesla T4", 15, "T4"),
        ("something else", 10, "B200"),
    ],
)
def test_which_gpu_a_device_is(device: str, gib: float, gpu: str) -> None:
    assert gpu_of_device(device, gib, list(GPUS)) == gpu


def test_a_forecast_is_work_over_speed_times_price() -> None:
    work = Work(steps=24000, images_per_step=64, flop_per_image=140e9, half_precision=True)
    seconds = 24000 * 64 * 140e9 / (121e12 * 0.25)
    assert 24000 * work.seconds_per_step("L4", 4) == pytest.approx(seconds)
    settings = ModalSettings(gpu=["L4"], max_usd=9)
    rate = usd_per_second("L4", settings.cpu, settings.memory, False)
    text = "\n".join(forecast(work, settings))
    assert f"${(seconds + 60) * rate:.2f}" in text
    assert "$9.00" in text
    assert "not forecast" in forecast(Work(None, 64, 140e9, True), settings)[0]


def test_a_duration_in_the_unit_that_suits_it() -> None:
    assert [duration(s) for s in (5, 150, 9000, 200000)] == ["5 s", "2.5 min", "2.5 h", "2.3 days"]


def test_the_ledger_adds_up_containers(tmp_path: Path) -> None:
    first = Ledger(0.5, "T4", time.time() - 100)
    first.open(tmp_path)
    first.write(tmp_path)
    second = Ledger(1.0, "L4", time.time() - 10)
    second.open(tmp_path)
    assert second.usd == pytest.approx(60, abs=5)
    assert "in 2 containers" in second.line()
    again = Ledger(0.5, "T4", first.started)  # an entry is updated, not repeated
    again.open(tmp_path)
    assert again.usd == pytest.approx(50, abs=5)


# Preflight


def test_a_missing_module_is_named() -> None:
    preflight = Preflight()
    with pytest.raises(PreflightError, match="import no_such_module: ModuleNotFoundError") as failed:
        preflight.imports(["json", "no_such_module", "csv"])
    assert failed.value.lasting
    assert [check.name for check in preflight.checks] == ["memory before imports", "import json"]


def test_what_was_found_is_a_block_and_figures(tmp_path: Path) -> None:
    preflight = Preflight()
    preflight.imports(["json"])
    preflight.writable(tmp_path)
    block = preflight.block("container start")
    assert all(check.name in block for check in preflight.checks)
    assert preflight.scalars()["preflight/memory_before_imports_mib"] > 1
    assert "preflight/import_json_seconds" in preflight.scalars()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="writable: FileNotFoundError"):
        Preflight().writable(tmp_path / "none")


def test_a_gpu_that_was_asked_for_and_is_not_there_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Preflight().cuda(expected=False)
    with pytest.raises(PreflightError, match="no GPU found") as failed:
        Preflight().cuda(expected=True)
    assert not failed.value.lasting


def test_the_process_knows_its_age_and_size() -> None:
    assert 0 < process_age() < 7 * 86400
    assert 10 < resident_mib() < 10**6


def be_cancelled(seen: list[list[int]]) -> None:
    with _cancellations() as canceled:
        seen.append(canceled)
        os.kill(os.getpid(), signal.SIGUSR1)
        while True:  # pause() would sleep for ever if another thread had been given the signal
            time.sleep(0.01)


def test_a_cancelled_call_is_an_interruption_that_is_known_as_one() -> None:
    seen: list[list[int]] = []
    # A shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            be_cancelled(seen)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [[signal.SIGUSR1]]
    with _cancellations() as canceled:
        assert not canceled


# TensorBoard's mirror


def test_the_mirror_follows_the_volume_and_opens_nothing_of_it(tmp_path: Path) -> None:
    runs, mirror = tmp_path / "runs", tmp_path / "mirror"
    (tmp_path / "volume").mkdir()
    runs.symlink_to("volume")  # as Modal mounts a Volume
    event = runs / "cats" / "run" / "events.out.tfevents.1"
    event.parent.mkdir(parents=True)
    event.write_bytes(b"abc")
    (event.parent / "other").write_bytes(b"x")
    (runs / "cats" / "latest").symlink_to("run")
    reloads: list[int] = []
    copy = mirror / event.relative_to(runs)
    assert follow_once(runs, mirror, lambda: reloads.append(1)) == [copy]
    with copy.open("rb") as reader:  # as TensorBoard does, which keeps it open and reads on
        assert reader.read() == b"abc"
        event.write_bytes(b"abcdef")
        assert follow_once(runs, mirror, lambda: reloads.append(1)) == [copy]
        assert reader.read() == b"def"
    assert follow_once(runs, mirror, lambda: reloads.append(1)) == []
    assert len(reloads) == 3
    assert [path for path in mirror.rglob("*") if path.is_file()] == [copy]
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.exists()]
    assert not [link for link in links if link.resolve().is_relative_to(runs.resolve())]


def test_a_reload_that_fails_leaves_what_was_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("there are open files preventing the operation")

    assert follow_once(tmp_path / "runs", tmp_path / "mirror", fail) == []
    assert "open files" in caplog.text


# Scripts in the container


def test_a_run_is_named_as_on_this_machine(tmp_path: Path) -> None:
    assert on_volume(PurePosixPath("runs/cats")) == "/runs/cats"
    assert on_volume(PurePosixPath("cats/run")) == "/runs/cats/run"
    args, folder = remote_arguments(["cats", "--n", "4"], tmp_path / "drawn")
    assert args == ["/runs/cats", "--n", "4"]
    assert folder == tmp_path / "drawn" / "cats"
    assert remote_arguments(["cats", "--out", "x"], tmp_path) == (["/runs/cats"], Path("x"))
