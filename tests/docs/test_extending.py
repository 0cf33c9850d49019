"""What `docs/extending.md` adds works: its files, in a copy of the project, pass their tests and train."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.groups import SCRIPTS
from tests.helpers.command_line import DIT, LIGHTNING_WARNINGS, shrunk
from tests.helpers.pages import DOCS, Block, blocks, text, typed
from tests.helpers.places import REPOSITORY

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.slow]

PAGE = DOCS / "extending.md"
MORE = "    ...\n"
"""Stands for the other lines of a table."""


def sections() -> dict[str, list[Block]]:
    """The page's blocks by the heading that they stand below."""
    lines = text(PAGE).splitlines()
    found: dict[str, list[Block]] = {}
    for block in blocks():
        if block.page == PAGE.name:
            above = [line for line in lines[: block.line] if line.startswith("## ")]
            found.setdefault(above[-1].removeprefix("## "), []).append(block)
    return found


@pytest.fixture
def copy(reader: Path, tmp_path: Path) -> Path:
    """A copy of the project that may be changed, with the folders of a reader."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("lightning_modules", "datamodules", "configs", "scripts", "tests/helpers"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, symlinks=True, ignore=ignored)
    for name in ("tests/__init__.py", "tests/conftest.py", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    for name in ("my_images", "my_samples"):
        shutil.copytree(reader / name, tmp_path / name)
    return tmp_path


def add(block: Block, project: Path) -> Path:
    """Put a block into the project: a file, or lines for the table that its first line begins."""
    target = project / block.title
    if MORE not in block.text:
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in target.relative_to(project).parents:
            if folder != Path():
                (project / folder / "__init__.py").touch()
        assert not target.exists(), f"{block}: {block.title} exists"
        target.write_text(block.text, encoding="utf-8")
        return target
    start, new = block.text.split(MORE)
    (*before, first), new = start.splitlines(keepends=True), new.rpartition("\n}")[0] + "\n"
    imports = [line for line in before if line.startswith(("from ", "import "))]
    lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line == first]
    assert len(places) == 1, f"{block}: no table {first!r}"
    lines[places[0] : places[0] + 1] = [
        *"".join(before[len(imports) :]).lstrip().splitlines(True),
        first,
        new,
    ]
    after = max(number for number, line in enumerate(lines) if re.match(r"(from|import) ", line)) + 1
    lines[after:after] = imports
    target.write_text("".join(lines), encoding="utf-8")
    return target


def run(project: Path, *command: str) -> None:
    """Run a program on the copy."""
    variables = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=project, env=variables, capture_output=True, text=True, timeout=500, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("section", sections())
def test_a_section_can_be_followed(section: str, copy: Path) -> None:
    files, commands = [], []
    for block in sections()[section]:
        if block.title:
            files.append(add(block, copy))
        else:
            commands += typed(block.text)
    tests = [str(path) for path in files if path.name.startswith("test_")]
    assert len(files) - len(tests) <= 3  # the file, the table's line, a YAML
    assert len(tests) == 1
    run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    python = [str(path) for path in files if path.suffix == ".py"]
    ruff = (sys.executable, "-m", "ruff", "check", "--config", "pyproject.toml")
    run(copy, *ruff, "--fix", "--select", "I", *python)  # lines that are added to a file are sorted by hand
    run(copy, *ruff, *python)
    run(copy, sys.executable, "-m", "ruff", "format", "--check", "--config", "pyproject.toml", *python)
    for program, name, *args in commands:
        assert program == "ninelives"
        small = {"fit": small_training(copy, args), "evaluate": ["--features", "random", "--n", "20"]}
        run(copy, sys.executable, f"scripts/{SCRIPTS[name]}.py", *small.get(name, []), *args)


def small_training(project: Path, args: list[str]) -> list[str]:
    """Options that make a training small, but for the data and the network where the page chooses them."""
    words = iter(shrunk(project / "my_images", project))
    pairs = list(zip(words, words, strict=True))
    chosen = {"--data.root"} if "--data.source" in args else set()
    small = [word for pair in pairs if pair[0] not in chosen for word in pair]
    if "--config" in args:
        return [*small, "--experiment", args[args.index("--config") + 1]]
    return [*small, *DIT]
