"""Kill both demo networks in every setting that bears on resuming, and print what it cost.

Two networks, one and three micro-batches per step, zero and two loader workers, checkpoints written at once and
aside: sixteen proofs by scripts/prove_resume.py, one after the other, each with a JSON report in the folder.
What is there already is not proven again, so that the benchmark goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import describe, machine

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "prove_resume.py"
CONFIGS, ACCUMULATION, WORKERS, ASYNCHRONOUS = ("demo", "demo-unet"), (1, 3), (0, 2), (False, True)
SHORT = {
    "data.batch_size": 4,
    "trainer.limit_val_batches": 1,
    "checkpoint.every_n_steps": 5,
    "sample_grid.every_n_steps": 20,
    "sample_grid.rows": 1,
    "sample_grid.sampling.steps": 4,
}
"""The networks are the demos' own; batches, validation and pictures are small."""


def main(args: Sequence[str] | None = None) -> None:
    """Prove what is not proven yet, and print the table."""
    options = _parse(args)
    settings = list(itertools.product(ASYNCHRONOUS, WORKERS, ACCUMULATION, CONFIGS))
    for number, setting in enumerate(settings):
        report = options.folder / f"{_name(setting)}.json"
        if not report.is_file():
            print(f"{number + 1} of {len(settings)}: {_name(setting)}", file=sys.stderr)
            _prove(setting, options, number, report)
    reports = {setting: options.folder / f"{_name(setting)}.json" for setting in settings}
    print(describe(machine()))
    print(table({s: json.loads(path.read_text()) for s, path in reports.items() if path.is_file()}))


def table(reports: dict[tuple[Any, ...], dict[str, Any]]) -> str:
    """Return the reports as a table, with the kills of each kind of all of them below."""
    lines = [
        "| config | micro-batches per step | workers | checkpoints | kills | resumes | differences "
        "| steps lost, mean | max | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (aside, workers, accumulation, config), report in reports.items():
        found, wrong = report["all"], len(report["differences"]) + len(report["problems"])
        lines.append(
            f"| {config} | {accumulation} | {workers} | {'aside' if aside else 'at once'} | {found['kills']} "
            f"| {report['resumes']} | {wrong} | {found['steps_lost_mean']:.1f} | {found['steps_lost_max']} "
            f"| {report['seconds']:.0f} |"
        )
    lines += ["", "| kill | count | steps lost, mean | max |", "|---|---|---|---|"]
    deaths = [death for report in reports.values() for death in report["kills"]]
    for kind in dict.fromkeys(death["kill"]["kind"] for death in deaths):
        lost = [death["steps_lost"] for death in deaths if death["kill"]["kind"] == kind]
        lines.append(f"| {kind} | {len(lost)} | {sum(lost) / len(lost):.1f} | {max(lost)} |")
    lines.append(
        f"| all | {len(deaths)} | {sum(d['steps_lost'] for d in deaths) / max(1, len(deaths)):.1f} | |"
    )
    return "\n".join(lines)


def _name(setting: tuple[Any, ...]) -> str:
    aside, workers, accumulation, config = setting
    return f"{config}-accumulation{accumulation}-workers{workers}-{'aside' if aside else 'at-once'}"


def _prove(setting: tuple[Any, ...], options: argparse.Namespace, seed: int, report: Path) -> None:
    aside, workers, accumulation, config = setting
    run = {
        "config": config,
        "kills": options.kills,
        "steps": options.steps,
        "seed": seed,
        "json": report,
        "folder": report.with_suffix(""),
        **SHORT,
        "trainer.accumulate_grad_batches": accumulation,
        "data.workers": workers,
        "checkpoint.asynchronous": str(aside).lower(),
    }
    command = [
        sys.executable,
        str(SCRIPT),
        *(t for name, value in run.items() for t in (f"--{name}", str(value))),
    ]
    log = report.with_suffix(".txt")
    report.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run([*command, *options.fit], stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print(f"{_name(setting)}: exit status {done.returncode}, see {log}", file=sys.stderr)


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for the reports")
    parser.add_argument("--kills", type=int, default=100, help="per setting (default 100)")
    parser.add_argument("--steps", type=int, default=60, help="length of the runs (default 60)")
    parser.add_argument("fit", nargs="*", help="further options of fit.py, after --")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
