from __future__ import annotations

import json
from pathlib import Path

import pytest

from datamodules.sources.rendered_cats import RenderedCats
from tests.helpers.cloud import RUN, Cloud

pytestmark = pytest.mark.slow


def test_a_run_is_evaluated_in_the_cloud_and_the_report_comes_back(cloud: Cloud, tmp_path: Path) -> None:
    many = RenderedCats(count=240, size=16, folder=tmp_path).prepare().rename(tmp_path / "many")
    status, output = cloud.server.modal("volume", "put", "ninelives-data", str(many), "/many")
    assert status == 0, output
    status, output = cloud.fit(trainer__max_steps=3, data__root="many")
    assert status == 0, output
    options = ["--n", "60", "--nfe", "2", "--modal.gpu", "[]"]
    status, output = cloud.run("evaluate", f"demo/{RUN}", *options)
    assert status == 0, output
    folder = cloud.here / "evaluation" / "demo" / RUN
    assert json.loads((folder / "report.json").read_text())
