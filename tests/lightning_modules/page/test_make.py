"""What `make frontend` and `make page` run, with stand-ins for Node, npm and Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY

SITE = "lightning_modules/page/site/index.html"
NPM = """#!/bin/sh
echo "npm $1 $2" >> "{log}"
case "$1" in
ci) mkdir -p node_modules ;;
run) mkdir -p ../lightning_modules/page/site && touch ../lightning_modules/page/site/index.html ;;
esac
"""


class Clone:
    """A clone as far as the Makefile looks at it, all dependencies of Python installed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.programs = folder, folder / "log", folder / "programs"
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(REPOSITORY / name, folder / name)
        for name in ("frontend/src/main.ts", "frontend/tests/a.test.ts", "datamodules/pages/style.css"):
            self.write(name)
        self.write("frontend/package-lock.json")
        self.program(folder / ".venv/bin/python", f'#!/bin/sh\necho "python $@" >> "{self.log}"\n')
        for name in ("", "-export"):
            self.write(f".venv/.installed{name}")
        for name in ("sh", "find", "touch", "mkdir", "rm", "grep", "env", "echo"):
            self.programs.mkdir(exist_ok=True)
            (self.programs / name).symlink_to(shutil.which(name) or "/bin/false")

    def write(self, name: str) -> None:
        """Write a file that is newer than all before."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        newest = max(each.stat().st_mtime_ns for each in self.folder.rglob("*"))
        os.utime(path, ns=(newest + 10**9, newest + 10**9))

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def with_node(self, fits: bool = True) -> Clone:
        self.program(self.programs / "node", f"#!/bin/sh\nexit {0 if fits else 1}\n")
        self.program(self.programs / "npm", NPM.format(log=self.log))
        return self

    def make(self, *args: str) -> tuple[int, str, list[str]]:
        """Run make, and return its status, what it said, and which programs it ran."""
        self.log.write_text("")
        done = subprocess.run(
            [shutil.which("make") or "make", *args],
            cwd=self.folder,
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return done.returncode, done.stdout + done.stderr, self.log.read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


BUILT = ["npm ci --no-audit", "npm run build"]


def test_it_is_built_once_and_again_when_something_has_changed(clone: Clone) -> None:
    clone.with_node()
    assert clone.make("frontend")[::2] == (0, BUILT)
    for stamp in ("frontend/node_modules/.installed", SITE):
        clone.write(stamp)
    assert clone.make("frontend")[::2] == (0, [])
    clone.write("frontend/tests/a.test.ts")
    assert clone.make("frontend")[2] == []
    for name in ("frontend/src/main.ts", "datamodules/pages/style.css"):
        clone.write(name)
        assert clone.make("frontend")[2] == BUILT[1:]
        clone.write(SITE)
    clone.write("frontend/package-lock.json")
    assert clone.make("frontend")[2] == BUILT


@pytest.mark.parametrize("node", ["none", "old"])
def test_without_node_it_says_what_to_install(clone: Clone, node: str) -> None:
    if node == "old":
        clone.with_node(fits=False)
    for target in ("frontend", "page"):
        status, said, ran = clone.make(target)
        assert status != 0
        assert "Building the page needs Node.js 20.19" in said
        assert ran == []


def test_a_page_is_written_and_served(clone: Clone) -> None:
    clone.with_node()
    served = "python scripts/page.py runs/demo --serve"
    assert clone.make("page", "ARGS=runs/demo")[::2] == (0, [*BUILT, served])


@pytest.mark.parametrize("node", ["none", "old"])
def test_a_built_front_end_is_enough_without_node(clone: Clone, node: str) -> None:
    if node == "old":
        clone.with_node(fits=False)
    clone.write(SITE)
    clone.write("frontend/src/main.ts")
    assert clone.make("page", "ARGS=runs/demo")[2] == ["python scripts/page.py runs/demo --serve"]


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("18.20.4", 0),
        ("20.18.9", 0),
        ("20.19.0", 1),
        ("21.7.3", 0),
        ("22.11.0", 0),
        ("22.12.0", 1),
        ("24.1.0", 1),
    ],
)
def test_versions_of_node(version: str, fits: int) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node")
    makefile = (REPOSITORY / "Makefile").read_text().replace("\\\n", "")
    code = makefile[makefile.index("node -e '") + 9 :].partition("'")[0]
    asked = code.replace("process.versions.node", f"'{version}'")
    assert subprocess.run([node, "-e", asked], check=False).returncode == 1 - fits
