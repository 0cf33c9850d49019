"""Which package may import which, read from the sources: a boundary that is crossed once is gone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY as ROOT

PACKAGES = ("lightning_modules", "datamodules")
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


def room_of(name: str) -> str | None:
    """The folder or root module of a package that a dotted name lies in; None for what is not ours."""
    package, *inner = name.split(".")
    if package not in PACKAGES:
        return None
    there = inner and ((ROOT / package / inner[0]).is_dir() or (ROOT / package / f"{inner[0]}.py").is_file())
    return f"{package}.{inner[0]}" if there else package


@cache
def room_imports() -> dict[str, dict[str, str]]:
    """For each room the rooms that it imports, with a file that does; the packages themselves are rooms."""
    found: dict[str, dict[str, str]] = {}
    for path in (path for package in PACKAGES for path in sources(package)):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        room = room_of(module.removesuffix(".__init__")) or ""
        of_room = found.setdefault(room, {})
        for other in filter(None, map(room_of, imported_by(path))):
            if other != room:
                of_room.setdefault(other, str(path.relative_to(ROOT)))
    return found


def cycle_in(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The nodes of a cycle, the first one again at the end; empty if there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in graph.get(node, ()):
            if cycle := visit(other, [*path, node]):
                return cycle
        done.add(node)
        return []

    return next((cycle for node in graph if (cycle := visit(node, []))), [])


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


LAYERS = (
    ("datamodules.errors",),
    ("datamodules.utils",),
    ("datamodules.index",),
    ("datamodules.decode", "datamodules.pages", "datamodules.sources"),
    ("datamodules.cache", "datamodules.inspection"),
    ("datamodules.batches",),
    ("datamodules.arguments",),
    ("datamodules.image_folder",),
    ("datamodules",),
    ("lightning_modules.utils",),
    (
        "lightning_modules.checkpoints",
        "lightning_modules.diffusion",
        "lightning_modules.metrics",
        "lightning_modules.networks",
        "lightning_modules.pictures",
    ),
    ("lightning_modules.conditioning", "lightning_modules.ema", "lightning_modules.encoders"),
    ("lightning_modules.module",),
    ("lightning_modules.models", "lightning_modules.run", "lightning_modules.sampling"),
    ("lightning_modules.cost", "lightning_modules.export", "lightning_modules.logs"),
    ("lightning_modules.trained",),
    ("lightning_modules.evaluation",),
    ("lightning_modules.report",),
    ("lightning_modules.callbacks", "lightning_modules.page"),
    ("lightning_modules.cli",),
    ("lightning_modules.cloud", "lightning_modules.resume_proof"),
    ("lightning_modules.library",),
    ("lightning_modules",),
)
"""The rooms from the lowest layer to the highest: each may import those of lower layers alone."""

ROOT_MODULES = {"lightning_modules": 5, "datamodules": 3}
"""How many modules a package's root may have."""


def test_rooms_import_one_another_without_a_cycle() -> None:
    assert " -> ".join(cycle_in(room_imports())) == ""


def test_rooms_import_lower_layers_alone() -> None:
    height = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    imports = room_imports()
    assert imports.keys() == height.keys(), "LAYERS has every room, and nothing else"
    upward = {
        f"{place}: {other}"
        for room, others in imports.items()
        for other, place in others.items()
        if height[other] >= height[room]
    }
    assert not upward


@pytest.mark.parametrize("package", PACKAGES)
def test_the_root_of_a_package_holds_few_modules(package: str) -> None:
    loose = [path.name for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"]
    assert len(loose) <= ROOT_MODULES[package], loose


def test_a_cycle_is_found() -> None:
    assert cycle_in({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert cycle_in({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]


def test_rooms_are_folders_and_root_modules() -> None:
    assert room_of("lightning_modules.run.lock.RunLock") == "lightning_modules.run"
    assert room_of("lightning_modules.module.DiffusionModule") == "lightning_modules.module"
    assert room_of("datamodules.DataError") == "datamodules"
    assert room_of("torch.nn") is None


def test_imports_of_rooms_are_seen() -> None:
    imports = room_imports()
    assert "lightning_modules.checkpoints" in imports["lightning_modules.run"]
    assert "lightning_modules.sampling" not in imports["lightning_modules.module"]


ONE_PLACE = {
    "os.fsync": {"datamodules/utils/io.py"},
    "hashlib.file_digest": {"datamodules/utils/io.py"},
    "fcntl.flock": {"datamodules/utils/locks.py"},
    "fcntl.lockf": {"datamodules/utils/locks.py"},
    "torch.load": {
        "lightning_modules/checkpoints/opening.py",
        "lightning_modules/metrics/feature_networks/efficientnet.py",  # weights of another project
    },
}
"""What only these modules of the packages use."""


def test_files_locks_and_checkpoints_are_dealt_with_in_one_place() -> None:
    users: dict[str, set[str]] = {name: set() for name in ONE_PLACE}
    for path in (path for package in PACKAGES for path in sources(package)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in users:
                users[name].add(path.relative_to(ROOT).as_posix())
    assert users == ONE_PLACE


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
