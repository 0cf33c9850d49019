from __future__ import annotations

import json
import threading
import webbrowser
from pathlib import Path

import pytest

from lightning_modules.cli.commands import page as command
from lightning_modules.page import front_end
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, refusal
from tests.helpers.site import stand_in

pytestmark = LIGHTNING_WARNINGS


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = stand_in(tmp_path / "site")
    monkeypatch.setattr(front_end, "SITE", folder)
    return folder


def test_a_run_gets_its_page(
    trained: Run, elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[object] = []
    monkeypatch.setattr(command, "serve", lambda folder, port, opened: served.extend([folder, port, opened]))
    load_script("page").main([str(trained.folder), "--out", "my_page", "--serve", "--port", "0"])
    assert served == [Path("my_page"), 0, False]
    said = capsys.readouterr().out
    assert said.startswith("my_page (")
    assert "averaged weights of step 4, int16" in said
    told = json.loads((elsewhere / "my_page" / "model.json").read_text())
    assert (told["title"], told["step"], told["classes"][0]) == ("trained", 4, "calico")
    assert [path.name for path in elsewhere.iterdir()] == ["my_page"]


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["--port", "8000"], 2, "--serve"),
        (["--serve", "--port", "70000"], 2, "65,535"),
        (["--weights", "ema=7"], 2, "ema=7"),
        (["--weights-dtype", "float8"], 2, "float16"),
        (["--weights", "ema=0.1"], 1, "ema.lengths"),
        (["--out", "mine"], 1, "mine"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_in_a_line(
    args: list[str], status: int, says: str, trained: Run, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine" / "index.html").write_text("mine")
    stopped, message = refusal([str(trained.folder), *args], capsys, "page")
    assert stopped == status
    assert says in message
    assert len(message.strip().splitlines()) == 1
    assert [path.name for path in elsewhere.rglob("*")] == ["mine", "index.html"]
    assert not (trained.folder / "page").exists()


def test_open_serves_and_opens_the_browser(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    done = threading.Event()

    def browser(url: str) -> bool:
        opened.append(url)
        done.set()
        return True

    def serve_until_opened(*_: object) -> None:
        assert done.wait(60)

    monkeypatch.setattr(webbrowser, "open", browser)
    monkeypatch.setattr("lightning_modules.page.server.PageServer.serve_forever", serve_until_opened)
    options = command.parse(["run", "--open", "--port", "0"])
    assert options.serve
    command.serve(site, 0, opened=options.open)
    (url,) = opened
    assert f"The page is at {url}" in capsys.readouterr().out


def test_the_storages_are_those_there_are() -> None:
    from lightning_modules.export.stored_weights import STORAGES

    (option,) = [each for each in command.make_parser()._actions if each.dest == "weights_dtype"]
    assert tuple(option.choices or ()) == STORAGES
