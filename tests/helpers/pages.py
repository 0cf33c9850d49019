"""The README and the pages of `docs/` as the tests read them: fenced blocks, commands, inline code, links."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.helpers.places import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_COMMANDS = ("ninelives ", "python ", "make ", "pytest ", "modal ", "pip ")

# Bash calls this function for every program that it does not find, and with this PATH it finds none.
_RECORDER = """
command_not_found_handle() { printf '%s\\0' "$@" > "$RECORD/$BASHPID"; }
PATH=/nowhere
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def text(page: Path) -> str:
    """A page's text."""
    return page.read_text(encoding="utf-8")


@cache
def blocks() -> tuple[Block, ...]:
    """All fenced blocks of all pages."""
    found = []
    for page in PAGES:
        for match in _FENCE.finditer(text(page)):
            title = re.search(r'title="([^"]*)"', match[2])
            line = text(page).count("\n", 0, match.start()) + 1
            found.append(Block(page.name, line, match[1], title[1] if title else "", match[3]))
    return tuple(found)


def inline(page: Path) -> list[str]:
    """The inline code of a page, in its order."""
    return [code.replace("\\|", "|") for code in _INLINE.findall(_FENCE.sub("", text(page)))]


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures."""
    return _LINK.findall(_FENCE.sub("", text(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and forges make them."""
    headings = _HEADING.findall(_FENCE.sub("", text(page)))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", each).strip().lower()) for each in headings}


def typed(block: str) -> list[tuple[str, ...]]:
    """The programs that a block of commands starts, with their arguments, as bash reads them.

    Args:
        block: What a reader pastes. None of the programs is run.
    """
    bash = shutil.which("bash")
    assert bash is not None
    with tempfile.TemporaryDirectory() as folder:
        record, here = Path(folder, "record"), Path(folder, "here")
        record.mkdir()
        (here / ".venv" / "bin").mkdir(parents=True)
        (here / ".venv" / "bin" / "activate").touch()
        environment = {"RECORD": str(record), "SLURM_JOB_ID": "1"}
        command = [bash, "-euc", _RECORDER + block]
        result = subprocess.run(
            command, cwd=here, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{result.stderr}\n{block}"
        files = sorted(record.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [tuple(path.read_text(encoding="utf-8").split("\0")[:-1]) for path in files]


@cache
def commands() -> dict[tuple[str, ...], str]:
    """Every command of every page, those in the running text too, and where it stands first.

    Those of `extending.md` need the files that it adds: `tests/docs/test_extending.py` runs them.
    """
    found: dict[tuple[str, ...], str] = {}
    for block in blocks():
        if block.language == "bash" and block.page != "extending.md":
            for command in typed(block.text):
                found.setdefault(command, str(block))
    for page in PAGES:
        for code in inline(page):
            if code.startswith(_COMMANDS) and "..." not in code:
                found.setdefault(tuple(shlex.split(code)), page.name)
    return found
