"""KID and coverage of a run's samples against NFE, the evaluations of the network per image, by sampler.

Every sampler draws the same images: the same noise, the same labels. Floor and ceiling are of as many real
images and of noise. A sampler of two evaluations a step gets as many steps as the budget allows, and the
table says what it used.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lists import integers, names
from machine import describe, machine, write

from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.evaluation.report import Report, cell
from lightning_modules.evaluation.request import DataOptions
from lightning_modules.evaluation.run_evaluation import evaluate_run
from lightning_modules.evaluation.setup import Setup, Variant
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.run.finding import find_checkpoint
from lightning_modules.sampling.stored import run_sampling


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    try:
        checkpoint = find_checkpoint(options.run)
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    settings = run_sampling(checkpoint)
    variants = [
        Variant(
            checkpoint,
            "ema",
            dataclasses.replace(settings, sampler=name).within(nfe),
        )
        for name in options.sampler
        for nfe in options.nfe
    ]
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(load_features(options.features), Path(folder), options.n, seeds=options.seeds)
        report = evaluate_run(variants, setup, DataOptions(options.data))
    facts = machine()
    print(describe(facts))
    print("\n".join(f"{key}: {value}" for key, value in report.protocol.items()))
    for metric in ("kid", "coverage"):
        print(f"\n{metric}\n{table(report, metric, options.nfe)}")
    write({"machine": facts} | report.as_dict(), options.out)


def table(report: Report, metric: str, budgets: Sequence[int]) -> str:
    """Lay a metric out by sampler and budget, with what was used where that is less."""
    lines = [f"{'NFE at most':<18}" + "".join(f"{nfe:>20}" for nfe in budgets)]
    for start in range(0, len(report.rows), len(budgets)):
        rows = report.rows[start : start + len(budgets)]
        cells = [
            cell(row.figures[metric]) + ("" if row.facts["nfe"] == nfe else f" ({row.facts['nfe']})")
            for row, nfe in zip(rows, budgets, strict=True)
        ]
        lines.append(f"{rows[0].facts['sampler']:<18}" + "".join(f"{text:>20}" for text in cells))
    lines.append(f"{'floor: real':<18}{cell(report.floor[metric]):>20}")
    lines.append(f"{'ceiling: noise':<18}{cell(report.ceiling[metric]):>20}")
    return "\n".join(lines)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("run", type=Path, help="a run, an experiment, or a checkpoint")
    add("--nfe", type=integers, default=[6, 8, 10, 14, 20, 36, 50], help="budgets, with commas")
    add("--sampler", type=names, default=list(SAMPLERS), help="samplers, with commas")
    add("--n", type=int, default=500, help="images per set (default 500)")
    add("--seeds", type=int, default=1, help="sets per sampler and budget (default 1)")
    add("--features", default="auto", help="feature network, as evaluate.py takes it")
    add("--data", type=Path, help="folder of the run's images, if it has moved")
    add("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
