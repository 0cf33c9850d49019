"""What the project says of itself: metadata, citation, licenses."""

from __future__ import annotations

import contextlib
import re
import tomllib
from datetime import date
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tests.helpers.places import REPOSITORY as ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_every_picture_and_data_set_has_its_license() -> None:
    licenses = README[README.index("## Licenses") :]
    for name in ("MIT", "CC0", "CC BY-SA 4.0", "docs/", "distributed"):
        assert name in licenses


def test_the_virtual_environment_is_activated_before_the_first_command() -> None:
    assert README.index("source .venv/bin/activate\n") < README.index("\nninelives ")


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.*")), ids=lambda path: path.name)
def test_templates_have_what_a_forge_reads(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        assert isinstance(yaml.safe_load(text), dict)
    elif path.parent.name == "ISSUE_TEMPLATE":
        header = yaml.safe_load(text.split("---")[1])
        assert header.keys() >= {"name", "about"}


def test_every_pinned_package_runs_on_the_oldest_python() -> None:
    oldest = f"{project()['requires-python'].removeprefix('>=')}.0"
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    too_new = {}
    for name in pinned:
        with contextlib.suppress(PackageNotFoundError):  # of an extra that the tests do without
            wanted = metadata(name)["Requires-Python"]
            if wanted and not SpecifierSet(wanted).contains(oldest):
                too_new[name] = wanted
    assert not too_new
