"""Every way in which a container can fail: one sentence, once, and the exit status that belongs to it."""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import lightning_modules.cli.fit
from datamodules.utils.exit_codes import RESUME
from lightning_modules.checkpoints.errors import CheckpointWriteError
from lightning_modules.cloud import container, remote_command
from lightning_modules.cloud.container import Host, train_in_container
from lightning_modules.cloud.failures import Failures, leaving_the_container, one_line, told_once
from lightning_modules.cloud.job import Job, JobResult
from lightning_modules.cloud.preflight import Preflight, PreflightError
from lightning_modules.cloud.spending import Spending
from lightning_modules.cost.settings import ModalSettings
from lightning_modules.run.accidents import RollBackError


class OddError(Exception):
    """Cannot be sent: its constructor wants more than the exception keeps."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"odd {one}")


class Cancelled(BaseException):
    """As Modal's own."""


class Quiet:
    """A Volume."""

    def commit(self) -> None:
        """Do nothing."""

    def reload(self) -> None:
        """Do nothing."""


@dataclass
class Machine:
    """Containers of one call, with a stand-in for training, and what their logs and the client say."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    fit: Callable[[Any], Any] = lambda callbacks: None
    settings: ModalSettings = field(default_factory=lambda: ModalSettings(gpu=[]))
    trial: bool = False

    def attempt(self) -> JobResult | BaseException:
        """Train in a container; an exception is printed and sent as Modal does it."""
        job = Job(
            "a: 1",
            "cats",
            10,
            "run",
            self.trial,
            False,
            False,
            str(self.folder / "data" / "cats"),
            self.settings,
        )
        host = Host(Quiet(), Quiet(), lambda: "fc-2", Cancelled, "fc-1")
        try:
            return train_in_container(job, host)
        except Exception as error:
            traceback.print_exception(error)
            return pickle.loads(pickle.dumps(error))
        finally:
            sys.__dict__.pop("tracebacklimit", None)  # a container is a process of its own

    def said(self) -> str:
        """What has been printed since it was last asked."""
        out, err = self.capsys.readouterr()
        return "\n".join(line for line in (out + err).splitlines() if not line.startswith("Cost so far"))


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Machine]:
    made = Machine(tmp_path, capsys)
    for name, place in (("RUNS", "runs"), ("DATA", "data")):
        (tmp_path / place / "cats").mkdir(parents=True)
        monkeypatch.setattr(container, name, str(tmp_path / place))
    monkeypatch.setattr(Preflight, "imports", lambda self: None)
    monkeypatch.setattr(lightning_modules.cli.fit, "fit", lambda args, callbacks: made.fit(callbacks))
    return made


def raising(error: BaseException) -> Callable[[Any], Any]:
    def fit(callbacks: Any) -> Any:
        raise error

    return fit


def leaving(code: object, because: BaseException | None = None) -> Callable[[Any], Any]:
    """Exit as `training.fit` does, with what it was handling as the context."""

    def fit(callbacks: Any) -> Any:
        if because is None:
            sys.exit(code)
        try:
            raise because
        except type(because):
            sys.exit(code)

    return fit


def test_a_refusal_is_told_by_training_and_by_nobody_else(machine: Machine) -> None:
    machine.fit = leaving(2)
    outcome = machine.attempt()
    assert isinstance(outcome, JobResult)
    assert outcome.status == "refused"
    assert machine.said() == ""


def test_missing_data_is_one_line_and_no_other_attempt(machine: Machine) -> None:
    (machine.folder / "data" / "cats").rmdir()
    outcome = machine.attempt()
    assert isinstance(outcome, JobResult)
    assert outcome.status == "refused"
    said = machine.said()
    assert said.startswith("error: ")
    assert said.count("upload_data") == 1
    assert "\n" not in said


def test_a_missing_module_is_one_line_and_no_other_attempt(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Preflight, "imports", lambda self: self.run("import x", lambda: __import__("no_such"))
    )
    outcome = machine.attempt()
    assert isinstance(outcome, JobResult)
    assert outcome.status == "refused"
    assert machine.said() == "error: import x: ModuleNotFoundError: No module named 'no_such'"


def test_no_gpu_is_a_line_without_traceback_and_arrives_as_itself(machine: Machine) -> None:
    machine.settings = ModalSettings(gpu=["L4"])
    error = machine.attempt()
    assert isinstance(error, PreflightError)
    assert not error.lasting
    assert "--modal.gpu []" in str(error)
    assert machine.said() == f"lightning_modules.cloud.preflight.PreflightError: {error}"


def test_a_data_set_that_cannot_be_read_at_the_start_is_one_line(machine: Machine) -> None:
    machine.fit = raising(PreflightError("first batch: OSError: broken", lasting=True))
    outcome = machine.attempt()
    assert isinstance(outcome, JobResult)
    assert outcome.status == "refused"
    assert machine.said() == "error: first batch: OSError: broken"


@pytest.mark.parametrize("because", [MemoryError("no image fits"), RollBackError(3, "astray")])
def test_what_would_end_there_again_is_one_line_and_not_tried_again(
    machine: Machine, because: BaseException
) -> None:
    machine.fit = leaving(f"error: {because}", because)
    outcome = machine.attempt()
    assert outcome == JobResult("failed", str(because))
    assert machine.said() == f"error: {because}"


def test_a_refused_write_is_a_line_each_time_and_given_up_where_nothing_changes(machine: Machine) -> None:
    machine.fit = leaving("error: could not write x", CheckpointWriteError(28, "could not write x"))
    first = machine.attempt()
    assert isinstance(first, RuntimeError)
    assert machine.said() == "lightning_modules.cloud.failures.TrainingFailedError: could not write x"
    assert machine.attempt() == JobResult("failed", "could not write x")
    assert machine.said() == "error: could not write x"
    assert list((machine.folder / "runs" / ".failures").iterdir()) == []


def test_a_fault_of_the_program_has_its_traceback_once_and_costs_two_containers(machine: Machine) -> None:
    machine.fit = raising(TypeError("boom at 0x7f01"))
    assert isinstance(machine.attempt(), TypeError)
    assert machine.said().count("Traceback") == 1
    machine.fit = raising(TypeError("boom at 0x7f99"))
    assert machine.attempt() == JobResult("failed", "TypeError: boom at 0x7f99")
    assert machine.said() == "error: TypeError: boom at 0x7f99"


def test_an_error_after_other_steps_is_tried_again(machine: Machine) -> None:
    def fit(callbacks: Any) -> Any:
        (spending,) = [each for each in callbacks if isinstance(each, Spending)]
        spending.step = next(steps)
        raise ConnectionError("gone")

    steps = iter([3, 7, 7])
    machine.fit = fit
    assert isinstance(machine.attempt(), ConnectionError)
    assert isinstance(machine.attempt(), ConnectionError)
    assert isinstance(machine.attempt(), JobResult)


def test_a_trial_is_not_repeated(machine: Machine) -> None:
    machine.trial = True
    machine.fit = raising(TypeError("boom"))
    assert machine.attempt() == JobResult("failed", "TypeError: boom")
    said = machine.said()
    assert said.count("Traceback") == 1
    assert said.endswith("error: TypeError: boom")


def test_an_exception_that_cannot_be_sent_arrives_as_its_sentence(machine: Machine) -> None:
    machine.fit = raising(OddError(1, 2))
    error = machine.attempt()
    assert type(error) is RuntimeError
    assert str(error) == "OddError: odd 1"
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(OddError(1, 2)))
    with pytest.raises(KeyError), leaving_the_container():
        raise KeyError("sent as it is")


def test_an_interruption_is_modals_to_count(machine: Machine) -> None:
    machine.fit = leaving(RESUME)
    with pytest.raises(KeyboardInterrupt):
        machine.attempt()
    assert "error" not in machine.said()


def test_the_budget_is_a_line_that_says_how_to_go_on(machine: Machine) -> None:
    def fit(callbacks: Any) -> Any:
        (spending,) = [each for each in callbacks if isinstance(each, Spending)]
        spending.stopped = "budget"
        sys.exit(75)

    machine.fit = fit
    machine.settings = ModalSettings(gpu=[], max_usd=2.5)
    outcome = machine.attempt()
    assert isinstance(outcome, JobResult)
    assert outcome.status == "stopped"
    assert "cats/run" in outcome.message
    assert "--max-usd" in outcome.message
    assert machine.said() == ""


# On the user's machine


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PreflightError("CUDA: none", False), "error: CUDA: none\n"),
        (KeyError("x"), "error: KeyError: 'x'\n"),
        (ValueError("one\ntwo"), "error: ValueError: one\n"),
        (RuntimeError(""), "error: RuntimeError\n"),
        (
            RuntimeError("a\nHere is the remote traceback:\nx\nother.OddError: odd\n"),
            "error: other.OddError: odd\n",
        ),
    ],
)
def test_the_terminal_shows_one_line(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, told_once():
        raise error
    assert stopped.value.code == 1
    assert capsys.readouterr().err == line


def test_a_refusal_inside_keeps_its_status() -> None:
    with pytest.raises(SystemExit) as stopped, told_once():
        sys.exit(2)
    assert stopped.value.code == 2


def test_what_is_noted_of_other_calls_stays_until_it_is_old(tmp_path: Path) -> None:
    import os

    one, other, old = (Failures(tmp_path, name) for name in ("one", "other", "old"))
    for each in (one, other, old):
        assert not each.again(ValueError("x"), 1)
    os.utime(tmp_path / "old.json", (0, 0))
    one.forget()
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]
    assert other.again(ValueError("x"), 1)


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (lambda _: None, 0, ""),
        (
            lambda args: sys.exit(f"error: no class dog in /runs/a, see {args[-1]}"),
            2,
            "error: no class dog in v:a, see drawn/a",
        ),
        (lambda _: sys.exit(3), 3, ""),
    ],
)
def test_a_commands_status_and_last_words_come_back_with_its_files(
    end: Callable[[list[str]], None], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(args: list[str]) -> None:
        Path(args[-1], "a.png").write_bytes(b"x")
        end(args)

    monkeypatch.setitem(remote_command.COMMANDS, "sample", command)
    made = remote_command.files_of_command("sample", ["/runs/a"], "drawn/a", ModalSettings(runs_volume="v"))
    assert made == ({"a.png": b"x"}, status, said)


def test_a_sentence_of_this_project_is_told_whole() -> None:
    assert one_line(RollBackError(1, "two lines\nof it")) == "two lines\nof it"
