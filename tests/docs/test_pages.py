"""What the README and `docs/` name exists: links, pictures, paths, options, Python names, settings."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from datamodules.batches.augmentation import Augmentation
from datamodules.decode.decode import Limits
from lightning_modules.cli.main import help_text
from lightning_modules.cost.settings import ModalSettings
from tests.docs.groups import SCRIPTS
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script
from tests.helpers.pages import DOCS, PAGES, Block, anchors, blocks, inline, links, text
from tests.helpers.places import BENCHMARKS, REPOSITORY

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

FOLDERS = "tests|benchmarks|configs|scripts|docs|plans|lightning_modules|datamodules"
OPTION = re.compile(r"--(\w[\w.-]*)")
THE_READER_S = {"samples.npz", "demo-*.png", "compared.png", "compared-drawn.png"}
FOREIGN = {"signal", "logdir", "detach", "no-deps"}  # of SLURM, TensorBoard, Modal, pip


@pytest.fixture(scope="module")
def of_fit() -> set[str]:
    """The names of all options of `fit`, those of both models too."""
    found: set[str] = set()
    for args in (["--help", "all"], ["--model.help", "DiTDiffusion"], ["--model.help", "UNetDiffusion"]):
        found |= set(OPTION.findall(printed("fit", args)))
    nested = {f"augmentation.{each.name}" for each in fields(Augmentation)}
    return found | {f"data.{name}" for name in nested | {f"limits.{each}" for each in Limits._fields}}


@pytest.fixture(scope="module")
def known(of_fit: set[str]) -> set[str]:
    """The names of the options of all commands, benchmarks and `modal_entry.py`."""
    help_of = [help_text(), *(printed(name, ["--help"]) for name in SCRIPTS)]
    sources = [path.read_text(encoding="utf-8") for path in [*BENCHMARKS.glob("*.py"), *modal_sources()]]
    return of_fit | FOREIGN | {name for text in [*help_of, *sources] for name in OPTION.findall(text)}


def modal_sources() -> Iterator[Path]:
    yield REPOSITORY / "modal_entry.py"
    yield from (REPOSITORY / "lightning_modules" / "cloud").glob("*.py")


def printed(name: str, args: list[str]) -> str:
    """What a command prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        load_script(SCRIPTS[name]).main(args)
    return output.getvalue()


def test_the_readme_is_short() -> None:
    assert len(text(PAGES[0]).splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target) or f'id="{anchor}"' in text(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    named = [code for code in inline(page) if re.fullmatch(rf"({FOLDERS})/[\w./*-]*", code)]
    named += re.findall(rf"(?<![\w/.])((?:{FOLDERS})/[\w./-]+\.(?:py|yaml|md|png))", text(page))
    added = {block.title for block in blocks()}  # by a reader of extending.md
    for name in set(named) - added:
        assert list(REPOSITORY.glob(name.replace("NNN", "*"))), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path, known: set[str], of_fit: set[str]) -> None:
    sections = {name.partition(".")[0] for name in of_fit if "." in name}
    fenced = [block.text for block in blocks() if block.page == page.name != "extending.md"]
    for code in [*inline(page), *fenced]:
        assert set(OPTION.findall(code)) <= known, code
    for code in inline(page):
        if re.fullmatch(rf"({'|'.join(sections)})(\.[a-z_]+)+", code) and not code.endswith((".py", ".ckpt")):
            assert code in of_fit, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_names_exist(page: Path) -> None:
    for code in inline(page):
        if match := re.fullmatch(r"((?:lightning_modules|datamodules)(?:\.\w+)*)\.(\w+)", code):
            try:
                importlib.import_module(code)
            except ModuleNotFoundError:
                assert hasattr(importlib.import_module(match[1]), match[2]), code


@pytest.mark.parametrize("package", ["datamodules", "lightning_modules"])
def test_the_layout_names_every_folder(package: str) -> None:
    page = text(DOCS / "architecture.md")
    (table,) = re.findall(rf"^\| `{package}/` \|.*\n\|---\|---\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    named = re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in (REPOSITORY / package).glob("*/__init__.py"))


def test_a_run_leaves_the_files_that_are_named(reader: Path) -> None:
    (block,) = (each for each in blocks() if each.language == "text" and "manifest.json" in each.text)
    run = (reader / "runs" / "demo" / "latest").resolve()
    for line in block.text.splitlines()[1:]:
        if name := re.match(r"  ([\w./=-]+?)(?:\.\.\.)? ", line):
            assert list(run.glob(re.sub(r"\d{8}", "*", name[1]) + "*")), name[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_written_are_those_of_the_code(page: Path) -> None:
    paths = [
        path for name in ("lightning_modules", "datamodules") for path in REPOSITORY.glob(f"{name}/**/*.py")
    ]
    sources = "".join(path.read_text(encoding="utf-8") for path in paths)
    for code in inline(page):
        if re.fullmatch(r"\w[\w.-]*\.(json|jsonl|csv|npz|png|gif|ckpt)", code) and code not in THE_READER_S:
            assert code in sources or code.removesuffix(".ckpt") in sources, code
        if folder := re.match(r"(\w+)/step=", code):
            assert f'"{folder[1]}"' in sources, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scalars_exist(page: Path) -> None:
    packages = [*REPOSITORY.glob("lightning_modules/**/*.py")]
    sources = "".join(path.read_text(encoding="utf-8") for path in packages)
    for code in inline(page):
        if re.fullmatch(r"(loss|error|throughput|cost|evaluation)/\w+", code):
            assert re.search(rf'["/]{code.partition("/")[2]}"', sources), code


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in ("bash", "python", "text", "yaml")


@pytest.mark.parametrize(
    "block", [each for each in blocks() if each.language == "yaml" and not each.title], ids=str
)
def test_settings_are_accepted(block: Block) -> None:
    settings = yaml.safe_load(block.text)
    assert set(settings) == {"modal"}
    ModalSettings(**settings["modal"])
