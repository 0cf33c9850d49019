"""What is private in another library is used in that library's module of internals, and nowhere else."""

from __future__ import annotations

import ast

import pytest

from tests.helpers.places import REPOSITORY as ROOT

FOLDERS = ("lightning_modules", "datamodules", "scripts")
OPEN = {"_asdict", "_fields", "_make", "_replace", "_exit", "_getframe"}
"""Public by their documentation: a named tuple's methods, `os._exit` and `sys._getframe`."""

INTERNALS = {
    "lightning_modules/cli/parsing/argparse_internals.py",
    "lightning_modules/cli/parsing/jsonargparse_internals.py",
    "lightning_modules/metrics/feature_networks/efficientnet.py",
    "lightning_modules/utils/lightning_internals.py",
    "lightning_modules/utils/tensorboard_internals.py",
    "lightning_modules/utils/torch_internals.py",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in OPEN and len(name) > 1


def defined(tree: ast.AST) -> set[str]:
    """Names that a module defines anywhere: functions, classes, variables, and attributes of `self`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return names


def foreign_private_names(source: str) -> set[str]:
    """Private attributes that a module uses and does not define, by name or through `getattr`."""
    tree = ast.parse(source)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            used |= {each.value for each in node.args if isinstance(each, ast.Constant) and each.value}
    return {name for name in used if isinstance(name, str) and is_private(name)} - defined(tree)


def test_private_names_of_others_stand_in_the_modules_of_internals():
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): foreign_private_names(path.read_text("utf-8")) for path in paths}
    assert {path: names for path, names in found.items() if names and path not in INTERNALS} == {}
    assert set(found) >= INTERNALS


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("trainer._connector.listen()", {"_connector"}),
        ("class A(B):\n    def f(self):\n        return self._base", {"_base"}),
        ("class A:\n    def f(self):\n        self._own = 1\n        return self._own", set()),
        ("class A:\n    def _f(self): ...\n    def g(self):\n        return self._f()", set()),
        ("getattr(array, '_mmap', None)", {"_mmap"}),
        ("pair._replace(a=1)", set()),
        ("a.__dict__", set()),
    ],
)
def test_private_names_are_seen_in_every_form(source, names):
    assert foreign_private_names(source) == names
