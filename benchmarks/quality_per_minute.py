r"""The best picture per minute: contestants train for the same time on the same images, cores and threads.

Each trains in a process of its own, then draws the same number of images with its own sampler, and all
are scored by one feature network against one held-out reference. The order is interleaved by seed, and
the machine's matmul rate is taken before each training, so that its noise is visible.

  python benchmarks/quality_per_minute.py --data my_images --minutes 20 --size 32 --out compared
  python benchmarks/quality_per_minute.py --data my_images --minutes 5 --size 32 --out ablation \
      --contestants ours-dit,wider.yaml --seeds 0,1
  python benchmarks/quality_per_minute.py --data my_images --minutes 20 --size 32 --out compared --score-only

Contestants: ours-dit, ours-unet (benchmarks/configs/), the path of any config of this project, dit-
published, ddpm-pytorch, diffusers. ddpm-pytorch needs its package without its dependencies, since these
pull a torchvision that may not fit the installed torch:

  pip install --no-deps denoising-diffusion-pytorch ema-pytorch einops accelerate

Training time is from the first step to the last; starting, importing and opening the images are left
out, for everybody. The same command goes on after a stop: what is complete in OUT/<contestant>/seed=<s>/
(training.json, samples.npz, result.json) is not done again; a training that was stopped begins again,
for its time is what is measured. At the end: OUT/table.md, OUT/samples.png, OUT/summary.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants.data import prepare
from contestants.registry import OURS, PEERS, config_of, name_of
from contestants.scoring import Scores
from contestants.summary import above, picture, ratios, table
from contestants.task import Task
from lists import integers, names
from machine import describe, machine, write

from datamodules.errors import DataError

HERE = Path(__file__).resolve().parent
SETTINGS = ("data", "minutes", "size", "n", "val", "threads", "labels", "max_steps", "features")
SETTINGS += ("peer_nfe", "peer_sampler", "shrink")


def main(args: Sequence[str] | None = None) -> None:
    """Train, draw, score, print; ends with status 1 if a contestant failed."""
    options = parse(args)
    out: Path = options.out
    if options.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, options.cores)
    try:
        same_settings(options)
        data = prepare(options.data, out / "data", options.size, options.val, options.labels)
    except (DataError, ValueError) as error:
        sys.exit(f"error: {error}")
    if options.n > min(data["train"], data["val"]):
        sys.exit(
            f"error: --n {options.n} needs as many training and held-out images; there are {data['train']} "
            f"and {data['val']}. Lower --n."
        )
    facts = machine()
    print(describe(facts))
    print(f"{data['train']} training images, {data['val']} held out", flush=True)
    failed = [] if options.score_only else run_all(options, len(data["classes"]))
    results, bounds = score_all(options, failed)
    summarize(options, data | {"machine": facts}, results, bounds, failed)
    if failed:
        sys.exit("error: failed: " + ", ".join(f"{one['contestant']} seed {one['seed']}" for one in failed))


def same_settings(options: argparse.Namespace) -> None:
    """Write the settings down, or compare them with those of the results that are there.

    Raises:
        ValueError: If the folder holds results of other settings.
    """
    wanted = {name: str(getattr(options, name)) for name in SETTINGS}
    wanted["data"] = str(options.data.resolve())
    path: Path = options.out / "settings.json"
    if not path.is_file():
        options.out.mkdir(parents=True, exist_ok=True)
        write(wanted, path)
        return
    there = json.loads(path.read_text())
    other = [f"{name} {there[name]}, not {wanted[name]}" for name in wanted if there[name] != wanted[name]]
    if other:
        raise ValueError(f"{options.out} holds results of {'; '.join(other)}. Give another --out.")
    for contestant in options.contestants:
        config = config_of(contestant)
        for training in (options.out / name_of(contestant)).glob("seed=*/training.json"):
            if config and json.loads(training.read_text())["config"] != config.read_text():
                raise ValueError(f"{training.parent} was trained with another {config}. Give another --out.")


def run_all(options: argparse.Namespace, classes: int) -> list[dict[str, Any]]:
    """Train and sample what is not there yet, all contestants of a seed before the next seed."""
    failed = []
    order = [(seed, contestant) for seed in options.seeds for contestant in options.contestants]
    missing = [pair for pair in order if not (place(options, *pair) / "samples.npz").is_file()]
    untrained = [pair for pair in missing if not (place(options, *pair) / "training.json").is_file()]
    if not options.max_steps:
        print(
            f"{len(untrained)} trainings of {options.minutes:g} minutes, and {len(missing)} sets of samples"
        )
    for seed, contestant in missing:
        print(f"\n{name_of(contestant)}, seed {seed}", flush=True)
        folder = place(options, seed, contestant)
        folder.mkdir(parents=True, exist_ok=True)
        task = Task(
            contestant=contestant,
            seed=seed,
            folder=str(folder),
            data=str(options.out / "data"),
            size=options.size,
            seconds=60 * options.minutes,
            max_steps=options.max_steps,
            n=options.n,
            threads=options.threads,
            classes=classes,
            nfe=options.peer_nfe if contestant in PEERS else 0,
            peer_sampler=options.peer_sampler,
            shrink=options.shrink,
        )
        if run(task) != 0:
            tail = (folder / "log.txt").read_text(errors="replace").splitlines()[-15:]
            failed.append({"contestant": name_of(contestant), "seed": seed, "log": tail})
            print(f"{name_of(contestant)} failed; the others go on. The end of {folder / 'log.txt'}:")
            print("\n".join(f"  {line}" for line in tail), flush=True)
    return failed


def run(task: Task) -> int:
    """Do a task in a process of its own; what it says is shown and goes to `log.txt`."""
    task.save(task.place / "task.json")
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    threads = {name: str(task.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "contestants.child", str(task.place / "task.json")]
    with (
        (task.place / "log.txt").open("wb") as log,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        while part := os.read(process.stdout.fileno(), 65536):
            log.write(part)
            sys.stderr.buffer.write(part)
            sys.stderr.flush()
    return process.returncode


def place(options: argparse.Namespace, seed: int, contestant: str) -> Path:
    folder: Path = options.out / name_of(contestant) / f"seed={seed}"
    return folder


def score_all(
    options: argparse.Namespace, failed: list[dict[str, Any]]
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Score what has samples and no scores; return all scores, and the floor's and the ceiling's."""
    places = {
        name_of(contestant): [place(options, seed, contestant) for seed in options.seeds]
        for contestant in options.contestants
    }
    drawn = [each for of in places.values() for each in of if (each / "samples.npz").is_file()]
    missing = [each for each in drawn if not (each / "result.json").is_file()]
    path = options.out / "bounds.json"
    if missing or not path.is_file():
        torch.set_num_threads(options.threads)
        scores = Scores(options.out / "data", options.n, options.features)
        write(scores.bounds(), path)
        for each in missing:
            scores.score(each)
    results = {
        name: [json.loads((each / "result.json").read_text()) for each in of if each in drawn]
        for name, of in places.items()
    }
    return results, json.loads(path.read_text())


def summarize(
    options: argparse.Namespace,
    data: dict[str, Any],
    results: dict[str, list[Any]],
    bounds: dict[str, Any],
    failed: list[dict[str, Any]],
) -> None:
    """Write the table, the picture and everything as JSON."""
    text = table(results, bounds)
    heading = f"{options.minutes:g} minutes, {options.size} px, N = {options.n}, {options.threads} threads, "
    heading += f"{data['train']} training images; {describe(data['machine'])}"
    (options.out / "table.md").write_text(f"{heading}\n\n{text}\n", encoding="utf-8")
    print(f"\n{heading}\n\n{text}")
    grids = {}
    for contestant in options.contestants:
        for seed in options.seeds:
            samples = place(options, seed, contestant) / "samples.npz"
            if samples.is_file() and name_of(contestant) not in grids:
                with np.load(samples) as file:
                    grids[name_of(contestant)] = file["images"][:36]
    grids["real, held out"] = np.load(options.out / "data" / "val.npy", mmap_mode="r")[:36]
    picture(grids, options.out / "samples.png")
    compared = {
        metric: {
            "above_the_floor": above(results, bounds, metric),
            "times_the_best_peer": ratios(results, bounds, metric),
        }
        for metric in ("frechet", "kid")
    }
    settings = json.loads((options.out / "settings.json").read_text())
    everything = {"settings": settings, "facts": data, "bounds": bounds, "compared": compared}
    write(everything | {"results": results, "failed": failed}, options.out / "summary.json")
    print(f"\n{options.out / 'table.md'}, {options.out / 'samples.png'}, {options.out / 'summary.json'}")


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of images")
    add("--minutes", type=float, default=20.0, help="training time of each (default 20)")
    add("--size", type=int, default=32, help="side of the images (default 32)")
    add("--contestants", type=names, default=[*OURS, *PEERS], help="with commas")
    add("--seeds", type=integers, default=[0], help="with commas (default 0)")
    add("--n", type=int, default=2500, help="samples of each, and images of the reference (default 2500)")
    add("--threads", type=int, default=2, help="threads of torch (default 2)")
    add("--cores", type=integers, help="processor cores to stay on, with commas")
    add("--val", type=float, default=0.5, help="share of the images that is held out (default 0.5)")
    add("--labels", action="store_true", help="sub-folders are classes, for contestants that take labels")
    add("--features", default="auto", help="feature network, as evaluate.py takes it")
    add("--peer-nfe", type=int, default=0, help="evaluations per sample of the peers (default: 25, DDIM 50)")
    add(
        "--peer-sampler",
        choices=["fast", "published"],
        default="fast",
        help="fast: DPM-Solver++ or DDIM; published: that of each one's example, 250 to 1,000 evaluations",
    )
    add("--score-only", action="store_true", help="train and draw nothing; score what is there")
    add("--out", type=Path, required=True, help="folder of the results")
    add("--max-steps", type=int, default=0, help="train so many steps, without a clock, to try it out")
    add("--shrink", type=int, default=1, help="divide the peers' widths by this, to try it out")
    options = parser.parse_args(args)
    try:
        called = [name_of(contestant) for contestant in options.contestants]
    except ValueError as error:
        parser.error(str(error))
    if len(set(called)) < len(called):
        parser.error(f"two contestants have one name: {', '.join(called)}")
    return options


if __name__ == "__main__":
    main()
