"""`ninelives report`, and the page that every `fit` leaves."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from lightning_modules.cli import report as cli_report
from lightning_modules.cli.commands import report as command
from lightning_modules.cli.fit import fit
from lightning_modules.report.record import record_of
from lightning_modules.run.finding import find_run
from lightning_modules.run.lives import lives_of
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, refusal
from tests.helpers.html_page import HtmlPage
from tests.helpers.resuming import At, CrashError, crash, latest

pytestmark = LIGHTNING_WARNINGS

SHORT = ["--trainer.max_steps", "4", "--progress_bar.refresh_rate", "0"]


def page_of(tmp_path: Path) -> HtmlPage:
    page = HtmlPage((latest(tmp_path).folder / "report.html").read_text(encoding="utf-8"))
    page.assert_alone()
    return page


def test_fit_leaves_a_page_and_says_where(args, tmp_path, capsys, caplog):
    with caplog.at_level("INFO"):
        fit([*args, *SHORT])
    assert f"Report: {latest(tmp_path).folder / 'report.html'}." in caplog.text
    page = page_of(tmp_path)
    for words in (
        "It has taken 4 of 4 steps",
        "Samples, step by step",
        "Error by noise level",
        "calico",
        "Life 1",
    ):
        assert words in page.text, words
    before = (latest(tmp_path).folder / "report.html").read_bytes()
    fit([*args, *SHORT])  # it has reached its target: nothing is touched
    assert (latest(tmp_path).folder / "report.html").read_bytes() == before


def test_a_run_that_is_stopped_or_fails_leaves_a_page_too(args, tmp_path):
    with pytest.raises(SystemExit) as stop:
        fit([*args, *SHORT], [At(2, lambda: os.kill(os.getpid(), signal.SIGTERM))])
    assert stop.value.code == 75
    assert "Stopped by SIGTERM and saved at step 3. Nothing is lost." in page_of(tmp_path).text
    with pytest.raises(CrashError):
        fit([*args, *SHORT], [At(3, crash)])
    assert "Failed at step 3: CrashError." in page_of(tmp_path).text


def test_a_page_that_cannot_be_written_is_a_warning(args, tmp_path, monkeypatch, caplog):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no\npaper")

    monkeypatch.setattr(cli_report, "write_report", fail)
    fit([*args, *SHORT])
    assert caplog.text.count("The run's report was not written: RuntimeError: no paper") == 1
    assert not (latest(tmp_path).folder / "report.html").exists()
    assert lives_of(latest(tmp_path).folder)[0].end == "finished"


def test_the_command_writes_the_page_of_the_newest_run(args, tmp_path, capsys, monkeypatch):
    fit([*args, *SHORT])
    run = latest(tmp_path).folder
    (run / "report.html").unlink()
    command.main([str(tmp_path / "runs" / "demo")])
    assert capsys.readouterr().out.endswith(f"{run}/report.html\n")
    page_of(tmp_path)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda place: bool(opened.append(place)))
    out = tmp_path / "else where" / "page.html"
    command.main([str(run), "--out", str(out), "--open"])
    assert opened == [out.as_uri()]
    assert f"{out} (no browser was found here to open it)" in capsys.readouterr().out
    HtmlPage(out.read_text()).assert_alone()


def test_what_the_page_says_to_type_works(args, tmp_path):
    with pytest.raises(SystemExit):
        fit([*args, *SHORT], [At(2, lambda: os.kill(os.getpid(), signal.SIGTERM))])
    moved = tmp_path / "moved" / "demo"
    moved.parent.mkdir()
    shutil.move(latest(tmp_path).folder.parent, moved)
    run = find_run(moved)
    fit(typed(run)["continue"])
    assert [(life.step, life.end) for life in lives_of(run)] == [(0, "signal"), (3, "finished")]
    further = typed(run)
    assert further["train on"][-2:] == ["--trainer.max_steps", "8"]
    for what, name in (("sample", "sample"), ("evaluate", "evaluate"), ("publish", "export")):
        load_script(name).make_parser().parse_args(further[what])


def typed(run: Path) -> dict[str, list[str]]:
    """What a page says to type, as arguments."""
    cli_report.report(run)
    text = HtmlPage((run / "report.html").read_text()).text
    commands = cli_report.commands_for(record_of(run))
    assert all(line in text for line in commands.values())
    return {what: shlex.split(line)[2:] for what, line in commands.items()}


def test_on_modal_the_commands_are_modal_s(args, tmp_path, monkeypatch):
    monkeypatch.setenv("MODAL_TASK_ID", "ta-1")
    fit([*args, *SHORT])
    run = latest(tmp_path).folder.name
    assert f"modal run modal_entry.py::sample demo/{run}" in page_of(tmp_path).text
    assert lives_of(latest(tmp_path).folder)[0].facts["host"] == "Modal"


def test_no_run_and_a_folder_are_refused(tmp_path, capsys):
    status, said = refusal([str(tmp_path / "nowhere")], capsys, "report")
    assert status == 1
    assert "there is no run in" in said
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    status, said = refusal([str(tmp_path / "run"), "--out", str(tmp_path)], capsys, "report")
    assert status == 1
    assert "is a folder" in said


def test_a_file_that_is_no_page_is_not_replaced(tmp_path, capsys):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    metrics, earlier = run / "metrics.csv", tmp_path / "earlier.html"
    metrics.write_text("step,loss\n")
    for place in (metrics, Path("/dev/null")):
        status, said = refusal([str(run), "--out", str(place)], capsys, "report")
        assert (status, "is no page" in said) == (1, True)
    assert metrics.read_text() == "step,loss\n"
    assert not Path("/dev/null").is_file()
    earlier.touch()
    for _ in range(2):
        command.main([str(run), "--out", str(earlier)])


def test_a_run_that_cannot_be_written_is_told_elsewhere(tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)

    def refuse(path: Path, text: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("lightning_modules.report.page.write_text", refuse)
    status, said = refusal([str(run)], capsys, "report")
    assert status == 1
    assert said.strip().endswith(
        f"Read-only file system: the report of {run} cannot be written there. Choose a file with --out"
    )


def test_a_link_to_a_run_is_the_run(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "demo" / "-2026-01-01T00-00-00Z"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step=00000002.ckpt").touch()
    (run / "config.yaml").write_text("trainer: {max_steps: 4}")
    links = run.with_name("latest"), tmp_path / "link"
    links[0].symlink_to(run.name)
    links[1].symlink_to(links[0])
    pages = []
    monkeypatch.setattr(cli_report, "write_report", lambda folder, *_: pages.append(folder) or folder)
    for link in links:
        cli_report.report(link)
    assert pages == [run, run]
    monkeypatch.chdir(run.parent)
    commands = cli_report.commands_for(record_of(Path(run.name)))
    assert f" ./{run.name} " in commands["sample"]
    assert f"--config ./{run.name}/config.yaml --run " in commands["continue"]
