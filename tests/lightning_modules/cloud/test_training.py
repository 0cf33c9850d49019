"""Training through the stock command line and Modal's own container entry point, in an emulated cloud."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from contextlib import closing
from email.message import Message
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datamodules.utils.exit_codes import RESUME
from lightning_modules.cost.prices import usd_per_second
from lightning_modules.run.lives import lives_of
from tests.helpers.cloud import ENTRY, REPOSITORY, RUN, Cloud
from tests.helpers.html_page import HtmlPage
from tests.modal_emulator import Fault, Kind

pytestmark = pytest.mark.slow


def visit(url: str, cookie: str = "") -> tuple[int, Message, bytes]:
    """Status, headers and content of a page, without following it to another one."""
    place = urllib.parse.urlsplit(url)
    path = f"{place.path or '/'}?{place.query}"
    with closing(http.client.HTTPConnection(place.netloc, timeout=200)) as connection:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def paste(line: str, cloud: Cloud) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell, where the environment's `modal` is found."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**cloud.server.environment, "PATH": path}
    return subprocess.run(
        line, shell=True, cwd=cloud.here, env=environment, capture_output=True, text=True, timeout=200
    )


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_fault_of_the_program_shows_its_traceback_once(cloud: Cloud) -> None:
    checkout = cloud.checkout()
    with (checkout / "lightning_modules" / "cloud" / "spending.py").open("a") as file:
        file.write("\ndef fail(self, *_):\n    raise TypeError('boom')\n\nSpending.on_train_start = fail\n")
    entry = f"{checkout / 'modal_entry.py'}::fit"
    status, output = cloud.server.modal("run", entry, *cloud.options(), cwd=cloud.here, timeout=400)
    assert status == 1
    assert output.count("Traceback") == 1
    assert output.count("error: TypeError: boom") == 1
    assert len(cloud.server.runs("train")) == 2


def assert_same_weights(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]


def test_killed_in_every_way_the_weights_are_those_of_the_quiet_run(cloud: Cloud) -> None:
    status, output = cloud.fit(run="quiet")
    assert status == 0, output
    cloud.server.plan(
        "train",
        Fault(Kind.PREEMPT, on_log="First training step"),
        Fault(Kind.LOSE, on_log="Committed step"),
        Fault(Kind.PREEMPT, on_log="First training step", grace=0.0),
        Fault(Kind.FAIL, on_log="First training step"),
    )
    status, output = cloud.fit()
    assert status == 0, output
    assert re.search(rf"^demo/{RUN} .*\bstep 12\b", output, re.MULTILINE)
    runs = cloud.server.runs("train")
    assert [run.ending for run in runs[1:]] == [Kind.PREEMPT, Kind.LOSE, Kind.PREEMPT, Kind.FAIL, None]
    assert [item.failures for item in cloud.server.calls.inputs.values()][-1] == 1
    assert_same_weights(cloud.weights(12), cloud.weights(12, "quiet"))
    text = cloud.text()
    assert "SIGINT: " in text
    containers = json.loads((cloud.folder() / "cost.json").read_text())["containers"]
    assert len(containers) >= 2
    assert all(each["usd"] > 0 for each in containers)


def test_control_c_saves_commits_and_the_same_command_goes_on(cloud: Cloud) -> None:
    slow = {"trainer__max_steps": 100000, "checkpoint__every_n_steps": 1000}
    arguments = [*cloud.options(**slow), "--run", RUN]
    client = cloud.server.start("run", f"{ENTRY}::fit", *arguments, cwd=cloud.here)
    cloud.server.wait(lambda: "First training step" in cloud.text(), "it trains")
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=120)
    cloud.server.wait(lambda: cloud.server.runs("train")[-1].exit_status is not None, "the container ends")
    (saved,) = cloud.checkpoints()
    step = int(saved[5:13])
    assert 0 < step < 100000
    status, output = cloud.fit(trainer__max_steps=step + 2, checkpoint__every_n_steps=1000)
    assert status == 0, output
    assert f"from step {step}" in output
    assert cloud.checkpoints() == [saved, f"step={step + 2:08}.ckpt"]


def test_a_container_whose_time_is_up_hands_over_to_the_next(cloud: Cloud) -> None:
    arguments = [*cloud.options(modal__timeout=60, trainer__max_steps=100000), "--run", RUN]
    client = cloud.server.start("run", f"{ENTRY}::fit", *arguments, cwd=cloud.here)
    both = "the second container trains"
    cloud.server.wait(lambda: cloud.text().count("First training step") == 2, both, timeout=300)
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=120)
    first, second = cloud.server.runs("train")
    assert first.exit_status == 0
    cloud.server.wait(lambda: second.exit_status is not None, "the second container ends")
    assert "time is up" in cloud.text()
    (step,) = re.findall(r"Stopped at step (\d+)", cloud.text())[:1]
    assert f"step={int(step):08}.ckpt: " in cloud.text()
    assert [item.failures for item in cloud.server.calls.inputs.values()] == [0, 0]


def test_the_budget_stops_the_run_at_a_checkpoint_and_more_of_it_goes_on(cloud: Cloud) -> None:
    rate = usd_per_second(None, cpu=4, memory_mib=16384, in_region=False)
    budget = 45 * rate  # 30 seconds are kept back for saving, and about ten go into the start
    status, output = cloud.fit("--max-usd", f"{budget:.6f}", trainer__max_steps=100000)
    assert status == RESUME, output
    assert "--max-usd" in output
    newest = int(cloud.checkpoints()[-1][5:13])
    spent = json.loads((cloud.folder() / "cost.json").read_text())["containers"]
    assert len(spent) == 1
    assert spent[0]["usd"] > 15 * rate
    status, output = cloud.fit(trainer__max_steps=newest + 2)
    assert status == 0, output
    assert "in 2 containers" in output
    assert cloud.checkpoints()[-1] == f"step={newest + 2:08}.ckpt"
    status, output = cloud.fit(trainer__max_steps=newest + 2)
    assert status == 0
    assert "--trainer.max_steps" in output
    assert len(cloud.server.runs("train")) == 2


def test_what_a_run_leaves_can_be_looked_at_fetched_and_sampled_from(cloud: Cloud, tmp_path: Path) -> None:
    status, first = cloud.fit(trainer__max_steps=3)
    assert status == 0, first
    block = first[first.index("--- container start") :]
    for found in ("import torch ", "memory after", "CUDA", "runs writable", "data set", "first batch"):
        assert found in block
    assert "15 images to train on, 9 held out, 6 classes: " in block

    (line,) = [
        entry
        for entry in map(json.loads, (cloud.folder() / "telemetry.jsonl").read_text().splitlines())
        if entry["event"] == "container_start"
    ]
    assert line["preflight/import_torch_seconds"] > 0
    assert line["preflight/data_set_images"] == 15
    (life,) = lives_of(cloud.folder())
    assert (life.end, life.reached, life.facts["host"]) == ("finished", 3, "Modal")
    page = HtmlPage((cloud.folder() / "report.html").read_text())
    page.assert_alone()
    assert f"modal run modal_entry.py::sample demo/{RUN}" in page.text
    assert "in 1 container on Modal, an estimate." in page.text
    events = EventAccumulator(str(cloud.folder())).Reload()
    assert [event.step for event in events.Scalars("preflight/import_torch_seconds")] == [0]

    status, output = cloud.run("sample", f"demo/{RUN}", "--n", "4", "--steps", "2", "--modal.gpu", "[]")
    assert status == 0, output
    out = cloud.here / "sampled" / "demo" / RUN
    images = [f"{i:05}.png" for i in range(4)]
    assert sorted(path.name for path in out.iterdir()) == [*images, "grid.png", "sampling.json"]

    status, output = cloud.run("sample", "demo", "--labels", "dog", "--modal.gpu", "[]")
    assert status == 2
    assert re.search(r"error: .*'dog'", output)
    assert "Traceback" not in output

    fetched = tmp_path / "fetched.ckpt"
    place = f"demo/{RUN}/checkpoints/step=00000003.ckpt"
    status, output = cloud.server.modal("volume", "get", "ninelives-runs", place, str(fetched))
    assert status == 0, output
    command = [sys.executable, REPOSITORY / "scripts" / "sample.py", fetched, "--n", "1", "--steps", "2"]
    result = subprocess.run(
        [*command, "--out", tmp_path / "own"], capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "own" / "00000.png").is_file()

    lines = dict(
        line.split(":  ") for line in first.splitlines() if line.startswith(("Look", "Sample", "Fetch"))
    )
    assert lines["Sample"] == f"modal run modal_entry.py::sample demo/{RUN}"
    fetched = paste(lines["Fetch"], cloud)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    run = cloud.here / "runs" / "demo" / RUN
    published = (cloud.folder() / "checkpoints" / "step=00000003.ckpt").read_bytes()
    assert (run / "checkpoints" / "step=00000003.ckpt").read_bytes() == published


def test_tensorboard_is_shown_to_those_with_the_link_and_to_nobody_else(cloud: Cloud) -> None:
    status, output = cloud.fit(trainer__max_steps=3)
    assert status == 0, output
    board = cloud.server.start("run", f"{ENTRY}::tensorboard", cwd=cloud.here)
    assert board.stdout is not None
    link = next(line.strip() for line in board.stdout if "?token=" in line)
    address, _, token = link.partition("/?token=")
    assert address == cloud.server.function("board").handle.web_url
    assert visit(f"{address}/data/runs")[0] == 401
    status, headers, _ = visit(link)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].partition(";")[0]
    wait_until(lambda: visit(f"{address}/data/runs", cookie)[2] == json.dumps([f"demo/{RUN}"]).encode())
    assert b"TensorBoard" in visit(f"{address}/", cookie)[2]
    board.send_signal(signal.SIGINT)
    output, _ = board.communicate(timeout=200)
    assert "Traceback" not in output
    assert token not in cloud.text()
