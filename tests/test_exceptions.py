"""Every exception class of the packages survives the way from one process, or container, to another."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import datamodules
import lightning_modules
from tests.helpers.places import REPOSITORY as ROOT

VALUES: dict[str, Any] = {"str": "what", "int": 7, "bool": False, "float": 0.5, "Path": Path("a") / "b.png"}
"""An argument for each annotation of a constructor; a new one needs a line here."""


def modules() -> list[ModuleType]:
    return [
        importlib.import_module(found.name)
        for package in (datamodules, lightning_modules)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]


def exception_classes() -> list[type[BaseException]]:
    """Those defined in a module of the packages, at any depth of a class."""
    found: dict[str, type[BaseException]] = {}
    todo = [(module, member) for module in modules() for member in vars(module).values()]
    while todo:
        module, member = todo.pop()
        if not inspect.isclass(member) or member.__module__ != module.__name__:
            continue
        if issubclass(member, BaseException):
            found[f"{member.__module__}.{member.__qualname__}"] = member
        todo += [(module, inner) for inner in vars(member).values()]
    return [found[name] for name in sorted(found)]


CLASSES = exception_classes()


def arguments(of: type[BaseException]) -> list[Any]:
    """Arguments of a constructor of the project, or one message, or an error number with a message."""
    constructor = next(each.__init__ for each in of.__mro__ if "__init__" in vars(each))
    if inspect.isfunction(constructor):
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        return [VALUES[parameter.annotation] for parameter in parameters]
    return [28, "no space"] if issubclass(of, OSError) else ["what"]


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.__name__)
def test_an_exception_is_the_same_after_pickling(of: type[BaseException]) -> None:
    error = of(*arguments(of))
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is of
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


def test_no_exception_class_is_missed() -> None:
    names = {
        node.name
        for package in ("datamodules", "lightning_modules")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith(("Error", "Exception", "Interrupt")) for base in node.bases)
    }
    assert names <= {of.__name__ for of in CLASSES}
    assert {"PreflightError", "RollBackError", "ImageError"} <= names
