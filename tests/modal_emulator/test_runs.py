"""Functions called through the stock command line: values, logs, exceptions, what is asked of the service."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from modal_proto import api_pb2

from . import Emulator, Fault
from .isolation import namespace_commands

SAMPLE = Path(__file__).with_name("sample_app.py")
BROKEN = Path(__file__).with_name("sample_broken.py")


def test_a_value_comes_back_with_the_logs_and_the_request_is_recorded(modal_server: Emulator):
    modal_server.functions.unavailable_gpus = {"H100"}
    status, output = modal_server.modal("run", f"{SAMPLE}::main", "--a", "40")
    assert status == 0, output
    for line in ("adding 40 and 3", "to the error stream", "the sum is 43"):
        assert line in output
    assert modal_server.logs.text().splitlines() == ["adding 40 and 3", "to the error stream"]

    add = modal_server.function("add")
    assert add.gpus == ["H100", "A100-80GB:2", "L4"]
    assert add.definition.timeout_secs == 3600
    assert add.definition.retry_policy.retries == 2
    assert add.definition.retry_policy.initial_delay_ms == 0
    (run,) = modal_server.runs("add")
    assert run.gpu == "A100-80GB:2"
    assert run.exit_status == 0

    lines = modal_server.images.lines(add.definition.image_id)
    assert any("numpy==2.1.0" in line for line in lines)
    names = {file.filename for mount in add.definition.mount_ids for file in modal_server.mounts.files[mount]}
    assert names == {"/root/sample_app.py", "/root/sample_files/data.txt"}

    app = modal_server.app()
    assert app.stopped
    assert [left.reason for left in app.disconnects] == [api_pb2.APP_DISCONNECT_REASON_ENTRYPOINT_COMPLETED]
    assert len(modal_server.requests("FunctionGetInputs", task_id=run.task_id)) == 2
    assert modal_server.requests("FunctionGetInputs", task_id="") == []
    assert modal_server.service.unanswered == set()


def test_the_container_sees_the_mounted_files_and_not_the_checkout(modal_server: Emulator):
    status, output = modal_server.modal("run", f"{SAMPLE}::report", "--folder", str(SAMPLE.parents[1]))
    assert status == 0, output
    report = json.loads(re.search(r"REPORT (.*)", output)[1])
    isolated = modal_server.isolation == "namespace"
    assert report == {
        "greeting": "good day",
        "password": "swordfish",
        "in_code_folder": True,
        "code": ["sample_app.py", "sample_files"],
        "data": "some data",
        "folder": not isolated,
        "project": False,
        "remote": True,
    }
    assert "echoed True" in output


@pytest.mark.parametrize("client_retries", [False, True])
@pytest.mark.slow
def test_an_exception_is_retried_then_reaches_the_command_line(modal_server: Emulator, client_retries: bool):
    modal_server.calls.client_retries = client_retries
    status, output = modal_server.modal("run", f"{SAMPLE}::refuse", "--reason", "because")
    assert status == 1
    assert output.count("ValueError: because") >= 3
    assert len(modal_server.requests("FunctionPutOutputs")) == 3
    assert len(modal_server.requests("FunctionRetryInputs")) == (2 if client_retries else 0)


@pytest.mark.parametrize("unshare", [*namespace_commands()[1:], None])
def test_the_other_ways_to_keep_the_checkout_from_the_container(
    modal_server: Emulator, unshare: tuple[str, ...] | None
):
    modal_server.containers.unshare = unshare
    status, output = modal_server.modal("run", f"{SAMPLE}::report", "--folder", str(SAMPLE.parents[1]))
    assert status == 0, output
    assert modal_server.isolation == ("namespace" if unshare else "import path")
    visible = "false" if unshare else "true"
    assert f'"folder": {visible}, "project": false' in output


def test_volumes_are_refused_where_no_namespace_is_allowed(modal_server: Emulator):
    modal_server.containers.unshare = None
    status, output = modal_server.modal("run", f"{SAMPLE}::count", "--number", "1")
    assert status == 1
    assert "this machine allows no mount namespace" in output
    assert modal_server.service.errors == []


def test_an_import_that_fails_in_the_container_is_reported_at_once(modal_server: Emulator):
    status, output = modal_server.modal("run", f"{BROKEN}::main")
    assert status == 1
    assert "No module named 'a_module_that_is_not_there'" in output
    assert len(modal_server.runs("never_runs")) == 1


def test_the_command_line_is_handed_on_verbatim_and_a_bad_option_makes_no_app(modal_server: Emulator):
    status, output = modal_server.modal("run", f"{SAMPLE}::given", "--config", "x.yaml", "--a.b", "3")
    assert status == 0
    assert "given ['--config', 'x.yaml', '--a.b', '3']" in output
    before = len(modal_server.requests("AppCreate"))
    status, output = modal_server.modal("run", f"{SAMPLE}::main", "--no-such-option", "1")
    assert status == 2
    assert len(modal_server.requests("AppCreate")) == before


def test_a_spawned_call_of_a_detached_app_outlives_its_client(modal_server: Emulator):
    modal_server.plan("count_to", Fault(delay=0.2))
    status, output = modal_server.modal("run", "--detach", f"{SAMPLE}::spawn")
    assert status == 0, output
    assert "spawned fc-" in output
    modal_server.wait(lambda: modal_server.app().stopped, "the app stops once its call is finished")
    assert (modal_server.published("sample-volume") / "0").read_text() == "number 0"
    status, output = modal_server.modal("app", "logs", modal_server.app().app_id)
    assert status == 0
    assert "wrote 0" in output


def test_control_c_while_the_container_waits_for_a_machine(modal_server: Emulator):
    modal_server.plan("count_to", Fault(delay=1e6))
    client = modal_server.start("run", f"{SAMPLE}::count")
    modal_server.wait(lambda: modal_server.runs("count_to"), "a container is scheduled")
    client.send_signal(signal.SIGINT)
    output, _ = client.communicate(timeout=120)
    assert "App aborted" in output
    assert modal_server.app().stopped
    assert [run.process for run in modal_server.runs("count_to")] == [None]


def test_control_c_interrupts_the_function_whose_changes_are_committed_at_exit(modal_server: Emulator):
    client = modal_server.start("run", f"{SAMPLE}::count", "--no-commit")
    modal_server.wait(lambda: "pausing" in modal_server.logs.text(), "the function waits")
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=120)
    assert [left.reason for left in modal_server.app().disconnects] == [
        api_pb2.APP_DISCONNECT_REASON_KEYBOARD_INTERRUPT
    ]
    assert [path.name for path in modal_server.published("sample-volume").iterdir()] == ["0"]


def test_no_process_outlives_the_emulator(tmp_path: Path):
    with Emulator(tmp_path / "modal") as server:
        client = server.start("run", f"{SAMPLE}::count")
        server.wait(lambda: "pausing" in server.logs.text(), "the function waits")
        (run,) = server.runs("count_to")
        assert run.processes()
    assert run.processes() == []
    assert client.returncode is not None
    assert run.exit_status == -signal.SIGKILL
