"""A WSGI function served over HTTP."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path

import pytest

from . import Emulator

SAMPLE = Path(__file__).with_name("sample_app.py")


def test_a_wsgi_function_answers_http_until_control_c(modal_server: Emulator):
    client = modal_server.start("serve", str(SAMPLE))
    modal_server.wait(lambda: modal_server.requests("AppPublish"), "the app is published")
    url = modal_server.function("site").handle.web_url
    with urllib.request.urlopen(f"{url}/some/path?x=1", timeout=120) as response:
        assert response.status == 201
        assert response.headers["Content-Type"] == "text/plain"
        assert response.read() == b"GET /some/path x=1 "
        first = response.headers["X-Task"]
    content = bytes(range(256)) * 4096
    request = urllib.request.Request(url, data=content, method="POST")
    with urllib.request.urlopen(request, timeout=120) as response:
        assert response.read() == b"POST /  " + content
        assert response.headers["X-Task"] == first
    client.send_signal(signal.SIGINT)
    output, _ = client.communicate(timeout=120)
    assert url in output
    assert modal_server.app().stopped
    assert [run.exit_status for run in modal_server.runs("site")] == [0]


@pytest.mark.slow
def test_a_deployed_wsgi_function_answers_http_until_its_app_is_stopped(modal_server: Emulator):
    status, output = modal_server.modal("deploy", str(SAMPLE))
    assert status == 0, output
    url = modal_server.function("site").handle.web_url
    with urllib.request.urlopen(url, timeout=120) as response:
        assert response.read() == b"GET /  "
    assert not modal_server.app().stopped
    assert modal_server.modal("app", "stop", "emulator-sample", "--yes")[0] == 0
    modal_server.wait(lambda: modal_server.app().stopped, "the app is stopped")
