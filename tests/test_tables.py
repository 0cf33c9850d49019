"""What stands in a table is offered by the command line, and goes through the tests of its kind."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys

import pytest

import datamodules.sources
import lightning_modules.diffusion
from datamodules.sources.source import DataSource
from datamodules.sources.table import SOURCES
from lightning_modules.cli.commands.evaluate import make_parser
from lightning_modules.cli.fit_cli import CHOSEN_BY_NAME
from lightning_modules.cli.parsing.help import short_help
from lightning_modules.cli.parsing.parser import TeachingParser
from lightning_modules.diffusion.noise_levels import NoiseLevels
from lightning_modules.diffusion.preconditioning import Preconditioner
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import NOISE_DISTRIBUTIONS, PRECONDITIONERS, THRESHOLDS, WEIGHTINGS
from lightning_modules.diffusion.weighting import Weighting
from lightning_modules.sampling.settings import Sampling
from tests.helpers.command_line import load_script
from tests.helpers.places import REPOSITORY as ROOT

CLASSES = {
    "data.source": (SOURCES, DataSource, datamodules.sources),
    "model.noise_levels": (NOISE_DISTRIBUTIONS, NoiseLevels, lightning_modules.diffusion),
    "model.preconditioner": (PRECONDITIONERS, Preconditioner, lightning_modules.diffusion),
    "model.weighting": (WEIGHTINGS, Weighting, lightning_modules.diffusion),
}
"""The tables of classes by option, with the base class and the package that has them."""

TESTS = {
    "SOURCES": "datamodules/sources/test_table.py",
    "NOISE_DISTRIBUTIONS": "lightning_modules/diffusion/test_noise_levels.py",
    "PRECONDITIONERS": "lightning_modules/diffusion/test_preconditioning.py",
    "WEIGHTINGS": "lightning_modules/diffusion/test_weighting.py",
    "SAMPLERS": "lightning_modules/diffusion/test_samplers.py",
    "SCHEDULES": "lightning_modules/diffusion/test_schedules.py",
    "METRICS": "lightning_modules/evaluation/test_protocol.py",
    "FEATURE_NETWORKS": "lightning_modules/metrics/feature_networks/test_table.py",
}
"""Where a test runs over each table."""

SAMPLING = [
    (option, name)
    for option, table in (("sampler", SAMPLERS), ("schedule", SCHEDULES), ("threshold", THRESHOLDS))
    for name in table
]
"""Options of `Sampling`, each with the names of its table."""

NAMES = [(option, name) for option, (table, _, _) in CLASSES.items() for name in table]


@pytest.mark.parametrize("option", CLASSES)
def test_a_table_of_classes_is_complete(option):
    table, base, package = CLASSES[option]
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
    made = [each for each in base.__subclasses__() if each.__module__.startswith(f"{package.__name__}.")]
    assert sorted(each.__name__ for each in made) == sorted(table)


@pytest.mark.parametrize(("option", "name"), NAMES)
def test_the_command_line_takes_the_bare_name_of_a_class(option, name):
    table, base, _ = CLASSES[option]
    assert CHOSEN_BY_NAME[option] is table
    parser = TeachingParser()
    parser.add_argument("--choice", type=base)
    chosen = parser.instantiate(parser.parse_args(["--choice", name])).choice
    assert type(chosen) is pkgutil.resolve_name(table[name])
    assert type(chosen).__name__ == name


@pytest.mark.parametrize(("option", "name"), SAMPLING)
def test_every_command_takes_the_names_of_sampling(option, name):
    typed = TeachingParser()
    typed.add_class_arguments(Sampling, "sampling")
    parsed = typed.parse_args([f"--sampling.{option}", name])
    assert getattr(parsed.sampling, option) == name
    with pytest.raises(SystemExit):
        typed.parse_args([f"--sampling.{option}", f"{name}_"])
    sample = load_script("sample")
    assert getattr(sample.parse(["runs/demo", f"--{option}", name]), option) == name
    if option == "sampler":
        assert make_parser().parse_args(["runs/demo", "--sampler", name]).sampler == [name]


@pytest.mark.parametrize("table", TESTS)
def test_a_parametrized_test_runs_over_a_table(table):
    tree = ast.parse((ROOT / "tests" / TESTS[table]).read_text(encoding="utf-8"))
    values = {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    runs = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.parametrize"
    ]
    lists = [name for name, value in values.items() if f"made({table})" in value]
    assert any(f", {each}" in run for run in runs for each in [table, *lists])


def test_tables_are_read_without_torch():
    code = "\n".join(
        [
            "import sys",
            "import datamodules.sources.table",
            "import lightning_modules.diffusion.samplers.table",
            "import lightning_modules.diffusion.schedules.table",
            "import lightning_modules.diffusion.tables",
            "import lightning_modules.metrics.feature_networks.table",
            "import lightning_modules.metrics.table",
            "print(*sorted({'torch', 'lightning', 'numpy', 'PIL'} & set(sys.modules)))",
        ]
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_the_page_on_sampling_says_of_samplers_what_the_table_says():
    page = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\d)?[^|]*\| (2?)n[^|]*\|$", page, re.MULTILINE)
    assert len(rows) >= 8
    for name, order, stages in rows:
        known = SAMPLERS[name]
        assert known.order == int(order)
        assert known.stages == int(stages or 1)


@pytest.mark.parametrize("name", SOURCES)
def test_the_short_help_has_every_source(name):
    assert name in short_help()
