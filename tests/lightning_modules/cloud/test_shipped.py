"""Every module that code in the container can import is in the container: shipped by us, or installed."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from lightning_modules.cloud.image import FILES, PACKAGES, dependencies
from tests.helpers.cloud import REPOSITORY
from tests.modal_emulator import Emulator

CODE = PurePosixPath("/root")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Modules that are put into the container, by name, and their places in the checkout."""
    with Emulator(tmp_path_factory.mktemp("deployed") / "modal") as server:
        status, output = server.modal("deploy", str(REPOSITORY / "modal_entry.py"))
        assert status == 0, output
        mounts = server.function("train").definition.mount_ids
        names = {file.filename for mount in mounts for file in server.mounts.files[mount]}
    places = [PurePosixPath(name).relative_to(CODE) for name in names if name.endswith(".py")]
    return {".".join(place.with_suffix("").parts).removesuffix(".__init__"): str(place) for place in places}


def imports(path: Path, module: str) -> set[str]:
    """Names that a file imports anywhere in its code; `a.b` for `from a import b`, relative ones resolved.

    What it imports for type checkers alone is left out: it is not imported when the code runs.
    """
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def first_party(root: Path, name: str) -> str | None:
    """The longest prefix of an imported name that is a module of the checkout."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        place = root.joinpath(*parts[:length])
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            return ".".join(parts[:length])
    return None


def missing(modules: dict[str, str], root: Path) -> set[str]:
    """Modules of a checkout that shipped code imports and that are not shipped."""
    found = {
        wanted
        for module, place in modules.items()
        for name in imports(root / place, module)
        if (wanted := first_party(root, name)) is not None
    }
    return found - modules.keys()


def installed(requirements: Iterable[str]) -> set[str]:
    """Distributions that a list of requirements brings, their own requirements included."""
    names: set[str] = set()
    todo = list(requirements)
    while todo:
        match = re.match(r"([\w.-]+)\s*(?:\[([\w,\s-]+)\])?", requirement := todo.pop())
        assert match is not None
        extras = {extra.strip() for extra in (match[2] or "").split(",")} - {""}
        name = match[1].lower().replace("_", "-")
        if name in names and not extras:
            continue
        names.add(name)
        try:
            wanted = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system, or another Python
        for each in wanted:
            marker = re.search(r"extra == ['\"]([\w-]+)['\"]", each)
            if (marker is None or marker[1] in extras) and each != requirement:
                todo.append(each)
    return names


def test_every_first_party_import_is_shipped(modules: dict[str, str]) -> None:
    assert missing(modules, REPOSITORY) == set()


def test_what_is_shipped_is_what_is_there(modules: dict[str, str]) -> None:
    assert {
        "modal_entry",
        "lightning_modules.networks.unet",
        "datamodules.cache.cache",
        "lightning_modules.cli.fit",
    } <= modules.keys()
    here = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
    }
    assert here <= modules.keys()


def test_files_that_are_no_source_are_shipped() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    needed = {f"datamodules/{name}" for name in declared["datamodules"]} - {"datamodules/py.typed"}
    assert set(FILES) == needed


def run_in_the_container(modules: dict[str, str]) -> set[str]:
    """Modules that the app's functions and the commands they run can import."""
    todo = {"modal_entry"} & modules.keys()
    todo |= {name for name in modules if name.startswith("lightning_modules.cloud")}
    reached: set[str] = set()
    while todo:
        module = todo.pop()
        reached.add(module)
        names = (first_party(REPOSITORY, name) for name in imports(REPOSITORY / modules[module], module))
        todo |= {name for name in names if name in modules} - reached
    return reached


def test_every_other_import_is_of_an_installed_dependency(modules: dict[str, str]) -> None:
    given = installed([*dependencies(REPOSITORY), "modal"])  # Modal brings itself
    providers = importlib.metadata.packages_distributions()
    undeclared = {
        f"{module}: {top}"
        for module in run_in_the_container(modules)
        for name in imports(REPOSITORY / modules[module], module)
        if (top := name.split(".")[0]) not in sys.stdlib_module_names
        and first_party(REPOSITORY, name) is None
        and not given & {each.lower().replace("_", "-") for each in providers.get(top, [])}
    }
    assert not undeclared


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("lightning_modules/models.py", "import a_new_module"),
        ("lightning_modules/models.py", "from a_new_module import something"),
        ("datamodules/cache/cache.py", "def later():\n    import a_new_module.part"),
        ("lightning_modules/cli/commands/sample.py", "import a_new_module"),
        ("modal_entry.py", "import a_new_module"),
    ],
)
def test_a_module_that_is_added_and_not_shipped_is_named(
    modules: dict[str, str], place: str, line: str, tmp_path: Path
) -> None:
    root = tmp_path / "checkout"
    for each in modules.values():
        (root / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / each, root / each)
    (root / "a_new_module").mkdir()
    (root / "a_new_module" / "__init__.py").touch()
    assert missing(modules, root) == set()
    with (root / place).open("a") as file:
        file.write(f"\n{line}\n")
    assert missing(modules, root) == {"a_new_module"}
