"""What the project says of itself: metadata, citation, licences, and commands that a reader pastes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_modules.cloud.help import HELP

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [block for block in BLOCKS if re.match(r"(make|python|pip|source|modal|mkdir|for) ", block)]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_of_this_version_with_its_date() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert isinstance(citation["date-released"], date)


def test_the_systems_are_those_that_run_it() -> None:
    systems = {each for each in project()["classifiers"] if each.startswith("Operating System")}
    assert systems == {"Operating System :: MacOS", "Operating System :: POSIX :: Linux"}
    assert "WSL" in README


def test_every_picture_and_data_set_has_its_licence() -> None:
    licences = README[README.index("## Licences") :]
    for name in ("MIT", "CC0", "CC BY-SA 4.0", "docs/", "not distributed"):
        assert name in licences


def test_the_virtual_environment_is_activated_before_the_first_script() -> None:
    assert README.index("source .venv/bin/activate\n") < README.index("python scripts/")


@pytest.mark.parametrize("block", COMMANDS)
def test_commands_of_the_readme_can_be_pasted(block: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    for script in re.findall(r"python ((?:scripts|benchmarks)/\S+\.py)", block):
        assert (ROOT / script).is_file()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r"^make ([a-z-]+)", block, flags=re.MULTILINE)) <= set(targets)
    assert set(re.findall(r"modal_entry\.py::(\w+)", block)) <= HELP.keys()
    configs = re.findall(r"scripts/fit\.py --config (\w[\w-]*)(?!\S*[./])", block)
    assert all((ROOT / "configs" / f"{name}.yaml").is_file() for name in configs)


def test_there_are_blocks_to_paste() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.*")), ids=lambda path: path.name)
def test_templates_have_what_a_forge_reads(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        assert isinstance(yaml.safe_load(text), dict)
    elif path.parent.name == "ISSUE_TEMPLATE":
        header = yaml.safe_load(text.split("---")[1])
        assert header.keys() >= {"name", "about"}
