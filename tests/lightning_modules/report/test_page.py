"""The page of a run: whole, alone and true, whatever is missing, damaged or hostile."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from lightning_modules.report.page import as_html, write_report
from lightning_modules.report.record import record_of
from lightning_modules.run.lock import RunLock
from tests.helpers.html_page import HtmlPage
from tests.lightning_modules.report.conftest import HOSTILE, MadeUpRun

BAND = "error_sigma_0.1_to_0.3"


def read(made_up: MadeUpRun, **commands: str) -> HtmlPage:
    path = write_report(made_up.folder, commands=lambda _: commands)
    page = HtmlPage(path.read_text(encoding="utf-8"))
    page.assert_alone()
    assert "script" not in page.elements
    return page


def killed_three_times(made_up: MadeUpRun) -> None:
    made_up.config()
    made_up.data("calico", "tabby")
    made_up.lives(
        ("start", 0),
        ("alive", 187),
        ("start", 100),
        ("end", 161, {"how": "signal", "detail": "SIGTERM"}),
        ("start", 161),
        ("alive", 238),
        ("start", 200),
        ("end", 300, {"how": "finished"}),
    )
    made_up.checkpoint(300)


def test_the_story_of_a_run_that_was_killed_again_and_again(made_up):
    killed_three_times(made_up)
    page = read(made_up, evaluate="ninelives evaluate runs/demo")
    for words in (
        "A DiT of 3.04 million parameters, trained on 54 images of 2 classes, 32 x 32 pixels.",
        "It has taken 300 of 300 steps in 4.0 min.",
        "It was killed twice and was stopped once: 125 steps were lost and taken again.",
        "Killed without a word at step 187, or its power was cut. 87 steps lost, and taken again.",
        "From step 100. Stopped by SIGTERM and saved at step 161. Nothing is lost.",
        "From step 200 it came to its end at step 300.",
        "125 steps of 425 lost, 29%.",
        "Not evaluated yet.",
        "ninelives evaluate runs/demo",
    ):
        assert words in page.text, words


def test_an_empty_run_has_a_page(made_up):
    page = read(made_up)
    assert "There is no checkpoint." in page.text
    assert "Life 1" not in page.text
    assert "Loss" not in page.text


def test_the_curves_and_the_errors_by_noise_level(made_up):
    made_up.config()
    falling = [1 / number for number in range(1, 41)]
    val = [falling[number] if number % 5 == 4 else "" for number in range(40)]
    made_up.metrics(
        **{
            "loss": falling,
            "loss/val": val,
            "learning_rate": [0.001] * 40,
            "throughput/images_per_second": [90.0] * 30 + [20.0] * 10,
            "throughput/data_wait_share": [0.5] * 40,
            f"{BAND}/val": val,
            f"{BAND}/train": falling,
            f"{BAND}/identity": [0.04] * 40,
            f"{BAND}/constant": [0.2] * 40,
        }
    )
    page = read(made_up)
    assert "1.6 times smaller" in page.text
    assert "0.04, the noisy image itself" in page.text
    assert "Training has become slower: 20 images per second, 90 before." in page.text
    assert "50% of the time training waits for data." in page.text
    assert any("held-out images from 0.2 at step 50 to 0.025 at step 400" in said for said in page.pictures)
    assert len([said for said in page.pictures if said and said.startswith("Noise levels 0.1 to 0.3")]) == 1


def test_a_val_images_loss_that_rises_is_a_problem(made_up):
    made_up.config()
    made_up.metrics(
        **{"loss": [1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05], "loss/val": [1, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9]}
    )
    page = read(made_up)
    assert "The held-out loss rises: 0.8 now, 0.5 at step 30." in page.text
    assert (
        page.text.index("The held-out loss rises") < page.text.index("Samples")
        if "Samples" in page.text
        else True
    )


def test_a_run_in_training_says_so(made_up):
    killed_three_times(made_up)
    made_up.lives(("start", 300), ("alive", 310))
    lock = RunLock(made_up.folder)
    lock.acquire()
    page = read(made_up)
    lock.release()
    assert "It is being trained, and has taken 310 of 300 steps" in page.text
    assert "Trains now, at step 310" in page.text
    assert "steps are left" not in page.text


def test_steps_that_a_life_to_come_takes_again(made_up):
    made_up.config()
    made_up.lives(("start", 0), ("alive", 137))
    made_up.checkpoint(100)
    page = read(made_up, **{"continue": "ninelives fit"})
    assert "137 steps to be taken again." not in page.text
    assert "37 steps to be taken again." in page.text
    assert "200 steps are left." in page.text


def test_hostile_names_stay_text(made_up):
    made_up.config(
        experiment=HOSTILE, data={"root": HOSTILE, "image_size": HOSTILE}, trainer={"max_steps": HOSTILE}
    )
    made_up.data(HOSTILE, "b")
    made_up.lives(
        ("start", 0, {"device": HOSTILE, "host": HOSTILE}), ("end", 3, {"how": HOSTILE, "detail": HOSTILE})
    )
    made_up.metrics(loss=[1, 2])
    made_up.grids(3)
    page = read(made_up, **{HOSTILE: HOSTILE})
    assert page.elements.count("img") == 1
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "\x1b" not in page.text


@pytest.mark.parametrize(
    "name", ["config", "manifest", "telemetry", "recovery", "cost", "data_index", "metrics"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0{", b"[1, 2", b"[]", b"step,loss\n10,1.0\n20,0."])
def test_damaged_files_are_left_out(made_up, name, content):
    killed_three_times(made_up)
    getattr(made_up.run, name).write_bytes(content)
    page = read(made_up)
    assert "demo" in page.text
    if name in ("manifest", "recovery", "cost"):
        assert f"{getattr(made_up.run, name).name}: " in page.text


def test_a_file_that_is_a_folder_or_cannot_be_read_is_left_out(made_up):
    killed_three_times(made_up)
    made_up.run.cost.mkdir()
    assert "cost.json" in read(made_up).text


def test_a_torn_line_of_the_metrics_is_passed_over(made_up):
    made_up.metrics(loss=[1.0, 0.5, 0.25])
    with made_up.run.metrics.open("a") as file:
        file.write("40,0.12")
    assert record_of(made_up.folder).curve("loss") == [(10, 1.0), (20, 0.5), (30, 0.25)]
    assert "at step 30" in " ".join(filter(None, read(made_up).pictures))


def test_grids_are_few_and_chosen_without_a_script(made_up):
    made_up.grids(*range(10, 310, 10))
    (made_up.run.samples / "step=00000300.png").write_bytes(b"\x89PNG torn")
    page = read(made_up)
    shown = page.elements.count("img")
    assert shown == 11  # twelve are chosen, of which the last is torn
    assert page.elements.count("input") == page.elements.count("label") == shown
    assert "19 more grids in samples/" in page.text
    path = write_report(made_up.folder)
    assert path.read_text().count(" checked") == 1


def test_a_large_grid_is_made_smaller(made_up):
    made_up.grids(10, size=1600)
    assert made_up.run.sample_grid(10).stat().st_size > 7_000_000
    read(made_up)
    assert made_up.run.report.stat().st_size < 2_000_000


def test_many_lives_are_told_in_short(made_up):
    made_up.config()
    made_up.lives(*[each for step in range(0, 200, 2) for each in (("start", step), ("alive", step + 3))])
    page = read(made_up)
    assert "70 more lives, which lost 70 steps" in page.text
    assert "Life 100" in page.text
    assert "Life 40" not in page.text


def test_what_modal_has_cost(made_up):
    made_up.config()
    each = {"device": "L4", "started": 1.8e9, "seconds": 1800.0, "usd": 0.4}
    made_up.run.cost.write_text(json.dumps({"prices": "2025-11", "containers": [each, each]}))
    page = read(made_up)
    assert "$0.80 for 60.0 min in 2 containers on Modal, an estimate." in page.text


def test_what_was_changed_in_the_middle_of_the_run(made_up):
    made_up.data("a", "b")
    manifest = json.loads(made_up.run.manifest.read_text())
    earlier = [{"until_step": 40, "until": "", "identity": manifest["identity"] | {"seed_everything": 7}}]
    made_up.run.manifest.write_text(json.dumps(manifest | {"earlier": earlier}))
    page = read(made_up)
    assert "Settings that decide the weights were changed at step 40." in page.text
    assert "seed_everything: 7 in the run, 0 now" in page.text


def test_a_copy_elsewhere_has_the_same_page(made_up, tmp_path):
    killed_three_times(made_up)
    copy = tmp_path / "elsewhere" / made_up.folder.name
    shutil.copytree(made_up.folder, copy)
    pages = [as_html(record_of(each, lambda: 1.8e9), {}) for each in (made_up.folder, copy)]
    assert pages[0] == pages[1]


def test_numbers_that_are_not_finite_are_not_drawn(made_up):
    made_up.metrics(loss=["nan", "inf", 1.0, "nan"], learning_rate=["nan"] * 4)
    page = read(made_up)
    assert not re.search(r"\b(nan|inf)\b", made_up.run.report.read_text().partition("</style>")[2])
    assert page.text.count("Learning rate") == 0


def figure(value: float | None, width: float = 0.1, note: str = "") -> dict[str, object]:
    ends = {"low": None, "high": None} if value is None else {"low": value - width, "high": value + width}
    return {"value": value, **ends, "note": note}


def evaluated(made_up: MadeUpRun, step: int, copies: float = 0.0) -> None:
    folder = made_up.run.evaluation
    folder.mkdir()
    rows = [
        {
            "name": f"step {step}, {HOSTILE}",
            "facts": {"step": step},
            "figures": {
                "kid": figure(2.0),
                "recall": figure(0.5),
                "frechet": figure(None, note="N is too small"),
            },
            "memorization": {
                "distance_ratio": 1.0,
                "distance_ratio_interval": [0.9, 1.1],
                "z": 0.0,
                "copies": copies,
                "copies_val": 0.0,
                "rings": copies > 0,
            },
        }
    ]
    report = {
        "complete": False,
        "protocol": {"N on each side": 60, "reference": HOSTILE},
        "floor": {"kid": figure(0.0), "recall": figure(1.0), "frechet": figure(None)},
        "ceiling": {"kid": figure(8.0), "recall": figure(0.0), "frechet": figure(None)},
        "rows": rows,
        "error_by_noise_level": {},
    }
    (folder / "report.json").write_text(json.dumps(report))


def test_figures_stand_between_floor_and_ceiling(made_up):
    killed_three_times(made_up)
    evaluated(made_up, 200)
    made_up.grids(10)
    shutil.copy(made_up.run.sample_grid(10), made_up.run.evaluation / "closest-pairs-1.png")
    page = read(made_up, evaluate="ninelives evaluate runs/demo")
    assert "KID: 75% of the way from noise to real images" in page.pictures
    assert "recall: 50% of the way from noise to real images" in page.pictures
    for words in (
        "2 ±0.1",
        "Fréchet is refused: N is too small",
        "The evaluation has not come to its end.",
        "Nearest training images",
        "The evaluation is of step 200.",
        "No sign of memorizing",
    ):
        assert words in page.text, words
    assert "Not evaluated yet" not in page.text
    assert "Samples are copies" not in page.text


def test_copies_of_training_images_are_a_problem(made_up):
    evaluated(made_up, 0, copies=0.5)
    assert "Samples are copies of training images." in read(made_up).text


def test_an_evaluation_that_is_damaged_is_said(made_up):
    made_up.run.evaluation.mkdir()
    (made_up.run.evaluation / "report.json").write_text("{}")
    assert "report.json: " in read(made_up).text


def evaluation_json(made_up: MadeUpRun) -> dict[str, object]:
    evaluated(made_up, 200)
    return json.loads((made_up.run.evaluation / "report.json").read_text())


@pytest.mark.parametrize("value", [None, "x", [], {"a": 1}, 10**400, float("nan"), 7], ids=str)
@pytest.mark.parametrize(
    "place",
    [
        ("protocol",),
        ("complete",),
        ("floor", "kid", "value"),
        ("ceiling", "kid", "low"),
        ("rows", 0, "name"),
        ("rows", 0, "facts"),
        ("rows", 0, "figures", "recall", "note"),
        ("rows", 0, "memorization", "z"),
        ("rows", 0, "memorization", "distance_ratio_interval"),
    ],
    ids=lambda place: ".".join(map(str, place)),
)
def test_an_evaluation_of_another_version_is_told_or_left_out(made_up, place, value):
    killed_three_times(made_up)
    stored = evaluation_json(made_up)
    of = stored
    for name in place[:-1]:
        of = of[name]
    of[place[-1]] = value
    (made_up.run.evaluation / "report.json").write_text(json.dumps(stored))
    page = read(made_up)
    assert ("Quality" in page.text) != ("report.json: " in page.text)


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e18", "-1", "null", "[]", "1" + "0" * 400])
@pytest.mark.parametrize("name", ["step", "time"])
def test_a_history_with_impossible_numbers(made_up, name, value):
    killed_three_times(made_up)
    with made_up.run.telemetry.open("a") as file:
        for event in ("start", "alive", "end"):
            entry = {"event": event, "time": 1.9e9, "step": 300}
            entry[name] = "HERE"
            file.write(json.dumps(entry).replace('"HERE"', value) + "\n")
        file.write('{"event": "start", "time": 1.9e9, "step": 1, "images": 1' + "0" * 400 + "}\n")
        file.write("[" * 100_000 + "\n")
    assert "It has taken 300 of 300 steps" in read(made_up).text


@pytest.mark.parametrize("started", ["nan", "1e18", "inf", "-5", 10**400], ids=str)
def test_a_cost_with_impossible_numbers(made_up, started):
    killed_three_times(made_up)
    each = {"device": "L4", "started": started, "seconds": 1800.0, "usd": 0.4}
    made_up.run.cost.write_text(json.dumps({"prices": "2025-11", "containers": [each]}))
    assert "cost.json: " in read(made_up).text


@pytest.mark.parametrize(
    "name",
    [
        "error_sigma_0.1_to_<img/src=x/onerror=alert(1)>/val",
        "error_sigma_<b>_to_1/val",
        "error_sigma_x_to_1/val",
        "error_sigma_1e_to_\u0661/val",
    ],
)
def test_a_column_whose_name_is_markup_or_no_number(made_up, name):
    made_up.metrics(**{"loss": [1, 0.5], name: [1, 0.5]})
    page = read(made_up)
    assert "img" not in page.elements
    assert "Noise levels" not in page.text


@pytest.mark.parametrize(
    "values",
    [
        ["1e308", "-1e308"],
        ["3e38", "1e-45"],
        ["1e-320", "1e-320"],
        ["a" * 140_000, "1"],
        ["0", "0"],
    ],
    ids=lambda values: values[0][:9],
)
def test_values_at_the_ends_of_what_a_number_can_be(made_up, values):
    names = ("loss", "gradient_norm", "throughput/data_wait_share", f"{BAND}/val", f"{BAND}/identity")
    made_up.metrics(**dict.fromkeys(names, values))
    read(made_up)
    with made_up.run.metrics.open("a") as file:
        file.write(f"{'9' * 400},1,1,1,1,1\n")
    read(made_up)


def test_a_grid_that_is_no_png_is_left_out(made_up):
    made_up.grids(10)
    (made_up.run.samples / "step=\u00b2.png").write_bytes(made_up.run.sample_grid(10).read_bytes())
    (made_up.run.samples / "step=00000020.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%EndComments\n")
    (made_up.run.samples / "step=00000030.png").mkdir()
    assert read(made_up).elements.count("img") == 2


def test_a_long_configuration_is_cut_between_characters(made_up):
    made_up.config(data={"root": "&" * 100_000})
    page = read(made_up)
    text = made_up.run.report.read_text()
    assert page.text.rstrip().count("&") > 1000
    assert not re.search(r"&(?![a-z]+;|#\w+;)", text.partition("</style>")[2])


def test_what_a_killed_report_has_left_is_removed(made_up):
    left = made_up.folder / ".report.html.12345.tmp"
    left.write_bytes(b"<!doctype")
    read(made_up)
    assert not left.exists()


def test_the_page_of_a_long_run_is_small(made_up):
    rows = range(5_000)
    names = ("train", "val", "identity", "constant")
    made_up.metrics(**{f"error_sigma_{low}_to_{low + 1}/{name}": rows for low in range(3) for name in names})
    page = read(made_up)
    assert made_up.run.report.stat().st_size < 500_000
    said = " ".join(filter(None, page.pictures))
    assert "held-out images from 0 at step 10 to 5e+03 at step 50,000" in said
