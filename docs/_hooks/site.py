"""What mkdocs adds to the pages of `docs/`: an API page for each package, and the decisions in `plans/`.

The pages follow the tree: nothing here names a module.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lightning_modules", "datamodules")
PLANS = sorted((ROOT / "plans").glob("*.md"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation."""
    decisions: list[dict[str, str]] = [{_title(path): f"plans/{path.name}"} for path in PLANS]
    reference = [
        {package: [{_short(name): _page(name)} for name in _folders(package)]} for package in PACKAGES
    ]
    assert config.nav is not None
    config.nav += [{"Decisions and log": decisions}, {"API reference": reference}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Generate the pages."""
    for path in PLANS:
        files.append(File.generated(config, f"plans/{path.name}", content=path.read_text(encoding="utf-8")))
    for package in PACKAGES:
        for name in _folders(package):
            files.append(File.generated(config, _page(name), content=_reference(name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links that are right in the repository into links that are right on the site."""
    if page.file.src_uri.startswith("plans/"):
        return markdown.replace("](../docs/", "](../").replace("](../README.md", "](../index.md")
    return markdown.replace("](../plans/", "](plans/")


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def _short(name: str) -> str:
    return name.partition(".")[2] or name


def _page(name: str) -> str:
    return f"api/{name}.md"


def _folders(package: str) -> Iterator[str]:
    """Names of a package and of all packages in it."""
    for path in sorted((ROOT / package).rglob("__init__.py")):
        yield ".".join(path.parent.relative_to(ROOT).parts)


def _reference(name: str) -> str:
    """The page of a package: itself, then each of its modules."""
    folder = ROOT.joinpath(*name.split("."))
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    itself = f"::: {name}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}\n"
    return "\n".join([f"# {name}\n", itself, *(f"::: {name}.{module}\n" for module in modules)])
