"""From a command line to a certificate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from datamodules.utils.progress import progress
from lightning_modules.resume_proof.attempt import Pace, Watch
from lightning_modules.resume_proof.certificate import Certificate
from lightning_modules.resume_proof.child import AttemptSettings, fork_child, start_child
from lightning_modules.resume_proof.kill_results import KillResults
from lightning_modules.resume_proof.killed_run import KilledRun
from lightning_modules.resume_proof.kills import Kill, Kind, draw_kills
from lightning_modules.resume_proof.leaks import leaked
from lightning_modules.resume_proof.shortened import named_options, shortened
from lightning_modules.resume_proof.undisturbed import ProofError, Start, tail, train_undisturbed

QUIET = {"progress_bar.refresh_rate": 0, "trainer.enable_model_summary": "false"}


@dataclass(frozen=True)
class Request:
    """What is to be proven.

    Attributes:
        args: A command line of `ninelives fit`.
        folder: Where runs and logs go.
        kills: Number of kills.
        kinds: Ways to kill.
        seed: Seed of the plan of kills.
        steps: Length of the run in optimizer steps.
        jobs: Runs at a time, which share the kills.
        fresh_interpreter: Whether each process gets an interpreter of its own.
    """

    args: tuple[str, ...]
    folder: Path
    kills: int = 20
    kinds: tuple[Kind, ...] = tuple(Kind)
    seed: int = 0
    steps: int = 60
    jobs: int = 1
    fresh_interpreter: bool = False


def prove(request: Request) -> Certificate:
    """Train undisturbed, train again under kills, and compare.

    Raises:
        ProofError: If the run does not train even when nothing disturbs it.
        ValueError: If what is asked for makes no sense.
    """
    began = time.monotonic()
    start = start_child if request.fresh_interpreter else fork_child
    request.folder.mkdir(parents=True, exist_ok=True)
    config = resolved_config(start, request.args, request.folder)
    named = named_options(request.args)
    quiet = {name: value for name, value in QUIET.items() if name not in named}
    options: dict[str, Any] = {**shortened(config, request.steps, named), **quiet}
    args = [*request.args, *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    accumulation = config["trainer"]["accumulate_grad_batches"]
    micro_batches = request.steps * accumulation
    with progress(total=micro_batches, desc="undisturbed", unit="batch", mininterval=0.5) as bar:
        seen = _counter(bar)
        like = train_undisturbed(start, args, request.folder / "undisturbed", micro_batches, seen)
    plan = draw_kills(request.seed, request.kills, request.kinds, micro_batches)
    with progress(total=len(plan), desc="killing and resuming", unit="kill", mininterval=0.5) as bar:
        seen = _counter(bar)
        killed_runs = [
            KilledRun(start, args, request.folder / f"job-{job}", like, accumulation, seen)
            for job in range(request.jobs)
        ]
        results = _all(killed_runs, [plan[job :: request.jobs] for job in range(request.jobs)])
    left = leaked([session for killed_run in killed_runs for session in killed_run.sessions])
    setting = {
        "request": {**asdict(request), "folder": str(request.folder)},
        "options": options,
        "accumulation": accumulation,
        "checkpoint_bytes": like.checkpoint_bytes,
    }
    return Certificate(setting, results, left, time.monotonic() - began, like.seconds)


def resolved_config(start: Start, args: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the resolved configuration that a command line means.

    Raises:
        ProofError: If it is refused, with what it says.
    """
    log, output = folder / "configuration.log", folder / "configuration.yaml"
    settings = AttemptSettings((*args, "--print_config"), str(log), output=str(output))
    attempt = Watch(start(settings), log, None, Pace()).follow()
    if attempt.status:
        raise ProofError(f"ninelives fit refuses this command line:\n{tail(log)}")
    return dict(yaml.safe_load(output.read_text()))


def _all(killed_runs: Sequence[KilledRun], shares: Sequence[Sequence[Kill]]) -> list[KillResults]:
    """Let the killed_runs take place at the same time."""
    with ThreadPoolExecutor(len(killed_runs)) as pool:
        pairs = zip(killed_runs, shares, strict=True)
        try:
            return list(pool.map(lambda pair: pair[0].go_through(pair[1]), pairs))
        except BaseException:
            for killed_run in killed_runs:
                killed_run.stop()
            raise


def _counter(bar: tqdm[Any]) -> Callable[[], None]:
    lock = threading.Lock()

    def count() -> None:
        with lock:
            bar.update()

    return count
