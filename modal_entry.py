"""Train on Modal: `modal run modal_entry.py::fit --config cats.yaml`. All entry points are below."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import modal

from lightning_modules.cloud.command import entry_point
from lightning_modules.cloud.image import build_image
from lightning_modules.cloud.job import Job, Outcome
from lightning_modules.cloud.launch import prepare, refuse, without_settings
from lightning_modules.cloud.paths import DATA, RUNS
from lightning_modules.cloud.run_choice import choose

ROOT = Path(__file__).resolve().parent

# What a command line asks for is known here, before there is an app: a mistake is refused without one, and
# GPUs, timeout and Volumes are part of what is created.
COMMAND = entry_point(sys.argv, Path(__file__)) if modal.is_local() else None
JOB, SETTINGS = prepare(COMMAND)

app = modal.App("ninelives")
image = build_image(ROOT)
data_volume = modal.Volume.from_name(SETTINGS.data_volume, create_if_missing=True, version=2)
runs_volume = modal.Volume.from_name(SETTINGS.runs_volume, create_if_missing=True, version=2)
VOLUMES: dict[Any, Any] = {DATA: data_volume, RUNS: runs_volume}


@app.function(
    image=image,
    volumes=VOLUMES,
    gpu=SETTINGS.gpus,
    cpu=SETTINGS.cpu,
    memory=SETTINGS.memory,
    region=SETTINGS.region or None,
    timeout=SETTINGS.timeout,
    retries=modal.Retries(max_retries=SETTINGS.max_retries, initial_delay=0.0),
    single_use_containers=True,
)
def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train a run, from where it is to its end or the container's."""
    from lightning_modules.cloud.container import train_in_container

    outcome = train_in_container(
        Job.from_dict(job),
        data_volume,
        runs_volume,
        hand_over=lambda: str(train.spawn(job).object_id),
        cancellation=modal.exception.InputCancellation,
    )
    return outcome.as_dict()


@app.function(image=image, volumes=VOLUMES, gpu=SETTINGS.gpus, timeout=4 * 3600)
def run_script(name: str, args: list[str]) -> tuple[dict[str, bytes], str | None]:
    """Run a script on a run of the Volume, and return the files that it made, and its error if it failed."""
    from lightning_modules.cloud.scripts import files_of_script

    return files_of_script(name, args)


@app.function(image=image, volumes={RUNS: runs_volume}, max_containers=1, timeout=86400)
@modal.concurrent(max_inputs=100)
@modal.wsgi_app()
def board() -> Any:  # noqa: ANN401
    """Serve TensorBoard over the runs Volume."""
    from lightning_modules.cloud.board import serve_board

    return serve_board(Path(RUNS), Path("/tmp/board"), runs_volume.reload, seconds=30.0)


@app.local_entrypoint()
def fit(*arglist: str) -> None:
    """Train a run, as `scripts/fit.py` would, on Modal's GPUs."""
    if JOB is None:
        refuse("start it as: modal run modal_entry.py::fit ...")
    print("\n".join(JOB.summary))
    _finish(_follow(_with_run(JOB)))


@app.local_entrypoint()
def sample(*arglist: str) -> None:
    """Draw images from a run on the Volume into a folder here."""
    _run_script("sample", arglist, "drawn")


@app.local_entrypoint()
def evaluate(*arglist: str) -> None:
    """Measure the quality of a run's samples; report and plots go into a folder here."""
    _run_script("evaluate", arglist, "evaluation")


@app.local_entrypoint()
def tensorboard(*arglist: str) -> None:
    """Serve TensorBoard over all runs, until Ctrl-C."""
    import threading

    print(f"TensorBoard: {board.get_web_url()}   (Ctrl-C ends it)", flush=True)
    threading.Event().wait()


@app.local_entrypoint()
def upload_data(*arglist: str) -> None:
    """Upload a folder of images to the data Volume."""
    from lightning_modules.cloud.upload import upload_folder

    folder = Path(without_settings(arglist)[0]).resolve()
    sent, there = upload_folder(folder, data_volume)
    print(f"{sent} files uploaded, {there} were there. Train on them with --data.root {folder.name}")


def _run_script(name: str, arglist: Sequence[str], folder: str) -> None:
    """Run a script in the cloud, and write the files that it made into a folder of this machine."""
    from lightning_modules.cloud.scripts import remote_arguments

    args, place = remote_arguments(without_settings(arglist), Path.cwd() / folder)
    files, error = run_script.remote(name, args)
    if error is not None:
        refuse(error.removeprefix("error: "))
    place.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (place / file).write_bytes(content)
    print(f"{len(files)} files in {place}")


def _with_run(job: Job) -> Job:
    """Return the job with the run that it continues or starts, after a look at the Volumes.

    Raises:
        SystemExit: If the run is finished, or its data is not there.
    """
    from dataclasses import replace

    from lightning_modules.cloud.upload import sizes_on

    if job.data is not None and not sizes_on(data_volume, job.data.removeprefix(f"{DATA}/")):
        name = Path(job.data).name
        refuse(f"no {name} on the data Volume: upload it with modal run modal_entry.py::upload_data {name}")
    if job.trial:
        return job
    chosen = choose(
        sizes_on(runs_volume, job.experiment),
        job.experiment,
        job.max_steps,
        job.run,
        job.fresh,
        datetime.now(UTC),
    )
    where = f"{job.experiment}/{chosen.name}"
    if chosen.finished:
        print(f"{where} has reached its target, step {chosen.step}: nothing to do. Raise --trainer.max_steps")
        print("to train on, or start another run with --fresh.")
        sys.exit(0)
    print(f"Run: {where}, " + (f"on from step {chosen.step}" if chosen.step else "from the beginning"))
    return replace(job, run=chosen.name)


def _follow(job: Job) -> Outcome:
    """Start a run, and wait for it through all the containers that it is handed on to."""
    call = train.spawn(job.as_dict())
    while True:
        outcome = Outcome(**call.get())
        if outcome.call is None:
            return outcome
        print(outcome.message)
        call = modal.FunctionCall.from_id(outcome.call)


def _finish(outcome: Outcome) -> None:
    """Say how a run ended, and exit as scripts/fit.py would.

    Raises:
        SystemExit: If it has not reached its target.
    """
    if outcome.status == "refused":
        refuse(outcome.message)
    print(outcome.message)
    if outcome.status == "stopped":
        print("The same command continues it.")
        sys.exit(75)
