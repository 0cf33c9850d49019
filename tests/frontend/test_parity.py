"""The page of a run gives, by its code in node, the pixels of `ninelives sample`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.page import front_end
from lightning_modules.page.writing import write_page
from tests.frontend.parity import FRONT_END, compared, write_pictures
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, options, tiny
from tests.helpers.same_process import same_process  # noqa: F401 -- a fixture of every test here
from tests.helpers.site import stand_in

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npx") is None, reason="there is no Node"),
    pytest.mark.skipif(not (FRONT_END / "node_modules").is_dir(), reason="npm ci has not run in frontend/"),
]

TRAINING = options(
    {
        "experiment": "guided",
        "model.optimizer.learning_rate": 0.02,
        "ema.lengths": "[0.2]",
        "sample_grid.sampling.guidance": 2,
        "sample_grid.sampling.guide_length": 0.2,
    }
)
GUIDED_BY = {
    "its own average": [],
    "no label": ["--guide-length", "0", "--interval", "0.1", "20", "--threshold", "dynamic"],
}


class Run(NamedTuple):
    """A run, and the folder that its page and its samples are in."""

    run: Path
    folder: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is guided by its own average, and its page."""
    folder = tmp_path_factory.mktemp("guided")
    cats = RenderedCats(count=24, size=16, folder=folder / "cats").prepare()
    load_script("fit").main([*tiny(cats, folder), *TRAINING])
    run = folder / "runs" / "guided" / "latest"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front_end, "SITE", stand_in(folder / "site"))
        write_page(run, folder / "page")
    return Run(run, folder)


@pytest.mark.parametrize("guide", GUIDED_BY)
def test_a_page_has_the_pictures_of_the_command(guide: str, trained: Run) -> None:
    run, folder = trained
    samples = folder / f"{guide}.npz"
    settings = ["--steps", "6", "--sampler", "heun", "--seed", "11", *GUIDED_BY[guide]]
    load_script("sample").main([str(run), "--out", str(samples), "--n", "14", *settings])
    write_pictures(folder / "page", samples, folder)
    (differences,) = compared(folder)
    assert len(differences) == 14
    assert max(differences) <= 1
