"""What `pip install .` leaves: a wheel in a virtual environment, used from an empty directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import torch

from datamodules.sources.rendered_cats import RenderedCats
from tests.helpers.command_line import DIT, UNET, shrunk
from tests.helpers.places import CONFIGS, REPOSITORY
from tests.helpers.site import FILES, stand_in

pytestmark = pytest.mark.slow

PARTS = ("lightning_modules", "datamodules", "configs", "pyproject.toml", "README.md", "LICENSE")
SITE = Path("lightning_modules", "page", "site")
"""The page's front end, which `make frontend` builds; a stand-in takes its place where it is not built."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a clone makes."""
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheel")
    for name in PARTS:
        if (REPOSITORY / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / name, clone / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(REPOSITORY / name, clone / name)
    if not (clone / SITE / "index.html").is_file():
        stand_in(clone / SITE)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out)]
    subprocess.run([sys.executable, "-m", "pip", *build, str(clone)], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of a virtual environment with the wheel, and with what these tests' own one has besides."""
    folder = tmp_path_factory.mktemp("my venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with nothing but images in it."""
    folder = tmp_path_factory.mktemp("empty")
    RenderedCats(count=60, size=16, folder=folder).prepare().rename(folder / "my_images")
    return folder


def run(programs: Path, here: Path, program: str, *args: str) -> str:
    """Run an installed program as a user does whose shell finds it, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"XDG_CACHE_HOME": str(here / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [program, *args], cwd=here, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_has_the_packages_with_the_configs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {Path(name).name for name in names if name.startswith("lightning_modules/configs/")}
    assert shipped == {path.name for path in CONFIGS.glob("*.yaml")}
    assert {"lightning_modules/py.typed", "datamodules/py.typed", "datamodules/pages/style.css"} <= set(names)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lightning_modules", "datamodules"}


def test_the_wheel_has_the_page(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if Path(name).is_relative_to(SITE)}
    built = REPOSITORY / SITE
    found = {path.relative_to(REPOSITORY).as_posix() for path in built.rglob("*") if path.is_file()}
    assert names == (found or {f"{SITE.as_posix()}/{name}" for name in FILES})


def test_the_version_is_the_projects(programs: Path, here: Path) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert run(programs, here, "ninelives", "--version") == f"ninelives {version}\n"
    place = run(programs, here, "python", "-c", "import lightning_modules as nl; print(nl.__file__)")
    assert Path(place.strip()).is_relative_to(programs.parent.resolve())


def test_a_newcomer_gets_by_without_a_clone(programs: Path, here: Path) -> None:
    """Every command, in the order in which they are needed."""
    small = shrunk(Path("my_images"), Path())
    config = run(programs, here, "ninelives", "fit", "--print_config")
    assert "DiTDiffusion" in config
    assert run(programs, here, "ninelives", "inspect", "my_images").count("ninelives fit --config demo")
    said = run(programs, here, "ninelives", "fit", *small, *DIT)
    assert f"ninelives sample {Path('runs', 'demo')}" in said
    cats = ["--config", "cats", "--experiment", "cats", "--trainer.precision", "32-true", *UNET]
    run(programs, here, "ninelives", "fit", *small, *cats)
    for experiment in ("demo", "cats"):
        run(programs, here, "ninelives", "sample", f"runs/{experiment}", "--n", "2", "--out", experiment)
        assert len(list((here / experiment).glob("0*.png"))) == 2
    run(programs, here, "ninelives", "export", "runs/demo", "--to", "safetensors")
    run(programs, here, "ninelives", "page", "runs/demo")
    assert (here / "runs" / "demo" / "latest" / "page" / "index.html").is_file()
    quick = ["--n", "20", "--features", "random", "--no-plots"]
    run(programs, here, "ninelives", "evaluate", "runs/demo", *quick)
    proof = ["--kills", "1", "--steps", "4", "--kinds", "sigkill", "--data.root", str(here / "my_images")]
    assert "IDENTICAL" in run(programs, here, "ninelives", "prove", *proof, *DIT)
    here_now = {path.name for path in here.iterdir()}
    assert here_now == {"my_images", "cache", "inspection", "runs", "demo", "cats"}


def test_two_processes_train_as_one_command(programs: Path, here: Path) -> None:
    small = shrunk(Path("my_images"), Path())
    two = ["--experiment", "two", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    run(programs, here, "ninelives", "fit", *small, *DIT, *two, "--data.batch_size", "2")
    assert (here / "runs" / "two" / "latest" / "checkpoints" / "step=00000004.ckpt").is_file()
