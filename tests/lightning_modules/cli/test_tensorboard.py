"""What a run logs, read from TensorBoard's own server as a browser does."""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from PIL import Image

from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, refusal

pytestmark = LIGHTNING_WARNINGS

TRIES, PAUSE = 240, 0.25  # at most a minute

BANDS = [0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 80.0]
OPENER = build_opener(ProxyHandler({}))  # the loopback is reached without a proxy


class Board:
    """A running TensorBoard."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, body: object = None, **query: object) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        address = f"{self.url}/data/{path}" + (f"?{urlencode(query)}" if query else "")
        request = Request(address, data=data, headers={"Content-Type": "application/json"})
        with OPENER.open(request, timeout=30) as answer:
            return answer.read()

    def json(self, path: str, body: object = None, **query: object) -> Any:
        return json.loads(self.get(path, body, **query))


def until(answer: Callable[[], Any]) -> Any:
    """The first answer that is not empty; TensorBoard loads runs while it already serves."""
    for _ in range(TRIES):
        try:
            if value := answer():
                return value
        except URLError:
            pass
        time.sleep(PAUSE)
    raise AssertionError("TensorBoard did not answer")


@pytest.fixture(scope="module")
def board(trained: Run) -> Iterator[Board]:
    """TensorBoard over the folder that `tensorboard --logdir runs` would show."""
    logdir = trained.folder.parents[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--port", "0", "--load_fast", "false"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as server:
        assert server.stderr is not None
        said: list[str] = []
        # A thread reads, so that the server can neither block on a full pipe nor hold the test up.
        lines = io.TextIOWrapper(server.stderr)
        reader = threading.Thread(target=lambda: said.extend(iter(lines.readline, "")))
        reader.start()
        try:
            found = until(lambda: re.search(r"(http://127\.0\.0\.1:\d+)/", "".join(said)))
            board = Board(found[1])
            until(lambda: board.json("plugin/scalars/tags"))
            until(lambda: board.json("plugin/images/tags"))
            yield board
        finally:
            server.kill()
            reader.join(timeout=30)


@pytest.fixture
def name(trained: Run) -> str:
    """The run's name: its path below the log directory."""
    return f"{trained.folder.parent.name}/{trained.folder.name}"


def series(board: Board, name: str, tag: str) -> dict[int, float]:
    rows = board.json("plugin/scalars/scalars", run=name, tag=tag)
    return {step: value for _, step, value in rows}


def test_scalars_of_the_run_are_there(board: Board, name: str) -> None:
    tags = set(board.json("plugin/scalars/tags")[name])
    assert tags >= {
        "loss",
        "loss/val",
        "learning_rate",
        "gradient_norm",
        "images_seen",
        "throughput/images_per_second",
        "throughput/data_wait_share",
    }
    for low, high in itertools.pairwise(BANDS):
        group = f"error_sigma_{low:g}_to_{high:g}"
        assert {f"{group}/{kind}" for kind in ("val", "identity", "constant")} <= tags
    assert any(re.fullmatch(r"error_sigma_\S+/train", tag) for tag in tags)
    assert "epoch" not in tags  # it is 0 for ever


@pytest.mark.parametrize("plugin", ["scalars", "images"])
def test_every_curve_and_picture_says_what_it_is(board: Board, name: str, plugin: str) -> None:
    tags = board.json(f"plugin/{plugin}/tags")[name]
    assert tags
    assert [tag for tag, info in tags.items() if not info["description"]] == []


def test_curves_that_belong_together_are_in_one_chart(board: Board, name: str) -> None:
    layout = board.json("plugin/custom_scalars/layout")
    charts = {
        chart["title"]: shown(board, name, chart["multiline"]["tag"])
        for category in layout["category"]
        for chart in category["chart"]
    }
    bands = [f"error_sigma_{low:g}_to_{high:g}" for low, high in itertools.pairwise(BANDS)]
    assert ["loss", "loss/val"] in charts.values()
    assert any(
        charts[band.removeprefix("error_").replace("_", " ")]
        == [f"{band}/{kind}" for kind in ("constant", "identity", "train", "val")]
        for band in bands
    )
    assert len(charts) == 1 + len(bands)


def shown(board: Board, name: str, patterns: list[str]) -> list[str]:
    """The curves that TensorBoard finds for a chart."""
    answers = [board.json("plugin/custom_scalars/scalars", run=name, tag=pattern) for pattern in patterns]
    assert all(answer["regex_valid"] for answer in answers)
    return sorted(tag for answer in answers for tag in answer["tag_to_events"])


def test_series_have_a_point_per_step(board: Board, name: str, trained: Run) -> None:
    loss = series(board, name, "loss")
    assert sorted(loss) == [1, 2, 3, 4]
    assert loss == pytest.approx(trained.scalars("loss"))
    assert len(series(board, name, "gradient_norm")) == 4
    assert all(value > 0 for value in series(board, name, "throughput/images_per_second").values())


def test_learning_rate_is_the_one_that_was_asked_for(board: Board, name: str) -> None:
    assert series(board, name, "learning_rate") == pytest.approx({1: 0.01, 2: 0.02, 3: 0.02, 4: 0.02})


def test_val_series_have_a_point_per_validation(board: Board, name: str) -> None:
    assert len(series(board, name, "loss/val")) == 2  # every two of four steps
    identity = series(board, name, "error_sigma_1_to_3/identity")
    assert len(identity) == 2
    assert all(1 < value < 9 for value in identity.values())  # sigma squared


def test_images_seen_count_the_batches(board: Board, name: str) -> None:
    assert sorted(series(board, name, "images_seen").values()) == [4, 8, 12, 16]


def test_sample_grids_are_images(board: Board, name: str) -> None:
    assert "samples" in board.json("plugin/images/tags")[name]
    entries = board.json("plugin/images/images", run=name, tag="samples", sample=0)
    assert [entry["step"] for entry in entries] == [2, 4]
    for entry in entries:
        with Image.open(io.BytesIO(board.get(f"plugin/images/individualImage?{entry['query']}"))) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) >= 128  # large enough for its captions to be read


def session(board: Board, name: str) -> dict:
    """What the hyper-parameters' page shows of a run."""
    request = {"allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]}
    answer = board.json("plugin/hparams/session_groups", {**request, "startIndex": 0, "sliceSize": 10})
    # `latest` is a link to the run, which TensorBoard follows and lists too.
    (group,) = [group for group in answer["sessionGroups"] if group["name"] == name]
    return group


def test_hyper_parameters_are_the_settings_that_are_no_defaults(board: Board, name: str) -> None:
    values = session(board, name)["hparams"]
    assert values["data.batch_size"] == 4
    assert values["trainer.max_steps"] == 4
    assert values["ema.decay"] == pytest.approx(0.99)
    assert values["model"] == "DiTDiffusion"
    assert values["model.network.width"] == 32
    assert values["model.optimizer.learning_rate"] == pytest.approx(0.02)
    assert values["model.class_names"] == "calico, ginger, russian_blue, siamese, tabby, tuxedo"
    left_out = {
        "model.network.dropout",
        "model.optimizer.betas",
        "data.flip",
        "sample_grid.seed",
        "data.seed",
    }
    assert not left_out & values.keys()
    assert len(values) < 40


def test_sessions_metric_is_the_last_val_loss(board: Board, name: str) -> None:
    metrics = {value["name"]["tag"]: value["value"] for value in session(board, name)["metricValues"]}
    val = series(board, name, "loss/val")
    assert metrics["loss/val"] == pytest.approx(val[max(val)])


def test_a_folder_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, message = refusal(["nowhere"], capsys, "board")
    assert status == 2
    assert "nowhere" in message


def test_tensorboards_own_options_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: Run
) -> None:
    script, given = load_script("board"), []
    monkeypatch.setattr(script, "serve", lambda folder, further: given.append((folder, list(further))))
    script.main([str(tmp_path), "--port", "6007", "--bind_all"])
    assert given == [(tmp_path, ["--port", "6007", "--bind_all"])]
