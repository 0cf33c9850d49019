"""Which package may import which, read from the sources: a boundary that is crossed once is gone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY as ROOT

FIRST_PARTY = ("lightning_modules", "datamodules", "scripts", "benchmarks", "tests")
MUTATORS = {"append", "extend", "insert", "remove", "pop", "clear", "reverse", "sort"}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(source: str, package: str) -> set[str]:
    """Dotted names that a module of `package` imports at any depth of its code, relative ones resolved."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def imported_by(path: Path) -> set[str]:
    return imported(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parent.parts))


def within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def edits_sys_path(source: str) -> bool:
    def is_sys_path(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            target = node.value if isinstance(node, ast.Subscript) else node
            if is_sys_path(target):
                return True
        if isinstance(node, ast.Attribute) and node.attr in MUTATORS and is_sys_path(node.value):
            return True
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "sys"
            and any(a.name == "path" for a in node.names)
        ):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "addsitedir":
            return True
    return False


def is_standard(name: str) -> bool:
    return name.split(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("package", ["lightning_modules/diffusion", "lightning_modules/networks"])
def test_diffusion_and_networks_import_torch_and_themselves_only(package):
    """And the range checks, which import nothing."""
    ranges = "lightning_modules.utils.ranges"
    allowed = ("torch", package.replace("/", "."), ranges)
    strangers = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(package)
        for name in imported_by(path)
        if not (is_standard(name) or any(within(name, each) for each in allowed))
    }
    assert not strangers
    assert all(map(is_standard, imported_by(ROOT / f"{ranges.replace('.', '/')}.py")))


def test_datamodules_never_import_the_models():
    crossing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("datamodules")
        for name in imported_by(path)
        if within(name, "lightning_modules")
    }
    assert not crossing


def test_no_file_edits_sys_path():
    paths = [path for folder in FIRST_PARTY for path in sources(folder)] + sorted(ROOT.glob("*.py"))
    assert not [str(p.relative_to(ROOT)) for p in paths if edits_sys_path(p.read_text(encoding="utf-8"))]


def test_the_sources_are_found():
    assert {"sampler.py", "preconditioning.py", "loss.py"} <= {
        p.name for p in sources("lightning_modules/diffusion")
    }
    assert sources("datamodules")
    assert Path(__file__) in sources("tests")
    sampler = imported_by(ROOT / "lightning_modules/diffusion/samplers/sampler.py")
    assert {"torch.Tensor", "lightning_modules.diffusion.denoiser.Denoiser"} <= sampler


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import lightning.pytorch as pl", "lightning.pytorch"),
        ("from lightning_modules import networks", "lightning_modules.networks"),
        ("from .. import networks", "lightning_modules.networks"),
        ("from ..networks.dit import DiT", "lightning_modules.networks.dit.DiT"),
        ("from . import loss", "lightning_modules.diffusion.loss"),
        ("from .loss import x", "lightning_modules.diffusion.loss.x"),
        ("def f():\n    import numpy", "numpy"),
    ],
)
def test_imports_are_seen_in_every_form(source, name):
    assert imported(source, "lightning_modules.diffusion") == {name}


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.path.insert(0, 'src')",
        "import sys\nsys.path += ['src']",
        "import sys\nsys.path = ['src']",
        "import sys\nsys.path[:0] = ['src']",
        "import sys\ndel sys.path[0]",
        "from sys import path",
        "import site\nsite.addsitedir('src')",
    ],
)
def test_edits_of_sys_path_are_seen_in_every_form(source):
    assert edits_sys_path(source)


def test_reading_sys_path_is_no_edit():
    assert not edits_sys_path("import sys\nprint(sys.path, sys.path[0], len(sys.path))")
