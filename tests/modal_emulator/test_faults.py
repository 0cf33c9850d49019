"""Containers preempted, lost, failed and timed out, and what is left on the Volume."""

from __future__ import annotations

from pathlib import Path

import pytest
from modal_proto import api_pb2

from . import Emulator, Fault, Kind, striking
from .calls import Call, Input
from .containers import Container
from .functions import FunctionRecord

SAMPLE = Path(__file__).with_name("sample_app.py")


def files(server: Emulator) -> list[str]:
    return sorted(path.name for path in server.published("sample-volume").iterdir())


@pytest.mark.slow
def test_preempted_three_times_then_finished_without_a_counted_failure(modal_server: Emulator):
    preempt = Fault(Kind.PREEMPT, on_log="pausing")
    modal_server.plan("count_to", preempt, preempt, preempt)
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "4")
    assert status == 0, output
    assert "counted on from [0, 1, 2]" in output
    assert len(modal_server.runs("count_to")) == 4
    assert [item.failures for item in modal_server.calls.inputs.values()] == [0]
    assert files(modal_server) == ["0", "1", "2", "3"]


def test_what_a_lost_container_had_not_committed_is_lost_and_an_interrupted_one_commits_at_exit(
    modal_server: Emulator,
):
    modal_server.plan("count_to", Fault(Kind.LOSE, on_log="pausing"), Fault(Kind.PREEMPT, on_log="pausing"))
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "2", "--no-commit")
    assert status == 0, output
    assert output.count("found []") == 2
    assert "counted on from [0]" in output


def test_a_container_killed_at_its_commit_has_not_committed(modal_server: Emulator):
    modal_server.plan("count_to", Fault(Kind.LOSE, on_request="VolumeCommit"))
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "1")
    assert status == 0, output
    assert output.count("found []") == 2
    assert files(modal_server) == ["0"]


def test_a_commit_that_the_service_refuses_raises_in_the_function(modal_server: Emulator):
    modal_server.volumes.commits_to_refuse = 1
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "1")
    assert status == 0, output
    assert "RuntimeError: the Volume could not be committed" in output
    assert [item.failures for item in modal_server.calls.inputs.values()] == [1]
    assert files(modal_server) == ["0"]


@pytest.mark.slow
def test_failures_are_counted_against_the_retries(modal_server: Emulator):
    modal_server.plan("count_to", *[Fault(Kind.FAIL, on_log="pausing")] * 2)
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "3")
    assert status == 0, output
    assert [item.failures for item in modal_server.calls.inputs.values()] == [2]

    modal_server.plan("count_to", *[Fault(Kind.FAIL)] * 2, Fault(Kind.TIME_OUT))
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "9")
    assert status == 1
    assert "exceeded its timeout of 600 seconds" in output
    assert len(modal_server.runs("count_to")) == 6


def test_the_functions_own_timeout_is_kept(modal_server: Emulator):
    status, output = modal_server.modal("run", f"{SAMPLE}::overrun")
    assert status == 1
    assert "exceeded its timeout of 1 seconds" in output


def test_the_timeout_of_an_input_that_is_done_does_not_strike_the_next(monkeypatch: pytest.MonkeyPatch):
    clocks = []
    monkeypatch.setattr(
        striking, "later", lambda container, seconds, action: clocks.append((seconds, action))
    )
    handle = api_pb2.FunctionHandleMetadata()
    record = FunctionRecord("fu-1", "ap-1", "f", handle, [api_pb2.Function(timeout_secs=7)])
    container = Container("ta-1", record, record.definition, Path("unused"), Fault())
    call = Call("fc-1", record, 0, False)
    striker = striking.Striker(lambda task_id: container)
    for name in ("in-1", "in-2"):
        item = Input(name, call, 0, api_pb2.FunctionInput(), task_ids=["ta-1"])
        container.inputs = {name: item}
        container.taken += 1
        striker.arm(container, item)
    (first, time_out_first), (second, time_out_second) = clocks
    assert first == second == 7
    time_out_first()
    assert container.ending is None
    time_out_second()
    assert container.ending is Kind.TIME_OUT


def test_a_container_deaf_to_sigint_is_killed_after_the_grace_period(modal_server: Emulator):
    modal_server.plan("be_deaf", Fault(Kind.PREEMPT, on_log="pausing", grace=0.1))
    status, output = modal_server.modal("run", f"{SAMPLE}::call", "--function", "be_deaf")
    assert status == 0, output
    assert "returned came back" in output
    assert [run.exit_status for run in modal_server.runs("be_deaf")] == [-9, 0]


def test_an_interruption_turned_into_an_exit_counts_as_a_failure(modal_server: Emulator):
    modal_server.plan("exit_at_interrupt", Fault(Kind.PREEMPT, on_log="pausing"))
    status, output = modal_server.modal("run", f"{SAMPLE}::exit_at_interrupt")
    assert status != 0
    assert "SystemExit" in output
    assert [item.failures for item in modal_server.calls.inputs.values()] == [1]
    assert len(modal_server.runs("exit_at_interrupt")) == 1
