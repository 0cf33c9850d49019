from __future__ import annotations

from pathlib import Path

import pytest

from lightning_modules.evaluation.report import Report, Row
from lightning_modules.metrics.figure import Figure
from lightning_modules.metrics.memorization import Memorization
from lightning_modules.page.figures import run_figures
from lightning_modules.run.directory import RunDirectory

PROTOCOL = {
    "N on each side": 600,
    "features": "EfficientNet",
    "reference": "/home/me/cats, half; fingerprint 12",
}


def row(name: str, kid: float, digest: str, memorization: Memorization | None = None) -> Row:
    figures = {
        "kid": Figure(kid, kid - 0.01, kid + 0.01, "over 3 seeds"),
        "frechet": Figure(None, note="fewer images than features"),
        "inception_score": Figure(2.5),
    }
    return Row(name, {"sha256": digest}, figures, memorization)


def report(folder: Path, *rows: Row) -> RunDirectory:
    floor = {"kid": Figure(0.001, -0.002, 0.004), "frechet": Figure(1.0), "inception_score": Figure(3.0)}
    ceiling = {"kid": Figure(1.5, 1.4, 1.6), "frechet": Figure(90.0), "inception_score": Figure(1.1)}
    run = RunDirectory(folder)
    run.evaluation.mkdir()
    Report(PROTOCOL, floor, ceiling, rows).save(run.evaluation / "report.json")
    return run


def test_a_figure_stands_between_floor_and_ceiling_with_its_interval(tmp_path: Path) -> None:
    told = run_figures(report(tmp_path, row("step 9", 0.25, "abc")), "abc")
    measured, kid, frechet, score = told
    assert measured["value"] == "step 9"
    assert measured["note"] == (
        "N on each side: 600; features: EfficientNet; fingerprint of the real images: 12"
    )  # and no folder of the machine
    assert (kid["name"], kid["value"]) == ("KID", "0.25 ±0.01")
    for part in (
        "lower is better",
        "floor (real images) 0.001 ±0.003",
        "ceiling (noise) 1.5 ±0.1",
        "3 seeds",
    ):
        assert part in kid["note"]
    assert frechet["value"] == "refused"
    assert "fewer images than features" in frechet["note"]
    assert "knows nothing of the real images" in score["note"]


def test_the_rows_of_the_checkpoint_come_before_others(tmp_path: Path) -> None:
    run = report(tmp_path, row("own, before", 0.5, "abc"), row("own", 0.25, "abc"), row("other", 0.1, "xyz"))
    assert run_figures(run, "abc")[0]["value"] == "own"


def test_figures_of_another_checkpoint_say_so(tmp_path: Path) -> None:
    told = run_figures(report(tmp_path, row("step 5", 0.5, "old")), "new")
    assert told[0]["value"] == "step 5"
    assert "of another checkpoint" in told[0]["note"]


def test_memorization_is_told(tmp_path: Path) -> None:
    found = Memorization(0.8, (0.7, 0.9), -5.0, 0.1, 0.0)
    told = run_figures(report(tmp_path, row("step 9", 0.5, "abc", found)), "abc")
    assert (told[-1]["name"], told[-1]["value"]) == ("memorization", "MEMORIZING")
    assert "copies 10.0%" in told[-1]["note"]


def test_a_run_that_was_not_evaluated_has_no_figures(tmp_path: Path) -> None:
    assert run_figures(RunDirectory(tmp_path), "abc") == []
    assert run_figures(report(tmp_path), "abc") == []


def test_a_damaged_report_is_refused(tmp_path: Path) -> None:
    run = report(tmp_path, row("step 9", 0.25, "abc"))
    (run.evaluation / "report.json").write_text("{")
    with pytest.raises(ValueError, match=r"report\.json is damaged"):
        run_figures(run, "abc")
