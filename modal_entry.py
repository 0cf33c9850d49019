"""Train on Modal: `modal run modal_entry.py::fit --config cats.yaml`. All entry points are below."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import modal

from datamodules.utils.exit_codes import FAILED, REFUSED, RESUME
from lightning_modules.cloud.access import VARIABLE, link, new_token
from lightning_modules.cloud.command import entry_point
from lightning_modules.cloud.failures import told_once
from lightning_modules.cloud.image import build_image
from lightning_modules.cloud.job import Job, JobResult
from lightning_modules.cloud.launch import prepare, refuse, without_settings
from lightning_modules.cloud.paths import DATA, RUNS
from lightning_modules.cloud.run_choice import choose
from lightning_modules.cloud.wording import next_commands
from lightning_modules.cost.settings import ModalSettings
from lightning_modules.run.directory import EVALUATION, SAMPLED

ROOT = Path(__file__).resolve().parent

# What a command line asks for is known here, before there is an app: a mistake is refused without one, and
# GPUs, timeout and Volumes are part of what is created.
COMMAND = entry_point(sys.argv, Path(__file__)) if modal.is_local() else None
JOB, SETTINGS = prepare(COMMAND)
BOARD = new_token() if COMMAND is not None and COMMAND.name == "tensorboard" else None

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
    from lightning_modules.cloud.container import Host, train_in_container

    host = Host(
        data_volume,
        runs_volume,
        hand_over=lambda: str(train.spawn(job).object_id),
        cancellation=modal.exception.InputCancellation,
        call=str(modal.current_function_call_id()),
    )
    return train_in_container(Job.from_dict(job), host).as_dict()


@app.function(image=image, volumes=VOLUMES, gpu=SETTINGS.gpus, timeout=4 * 3600)
def run_command(
    name: str, args: list[str], place: str, settings: dict[str, Any]
) -> tuple[dict[str, bytes], int, str]:
    """Run a command on a run of the Volume; return the files that it made, its status and its last words."""
    from lightning_modules.cloud.remote_command import files_of_command

    return files_of_command(name, args, place, ModalSettings(**settings))


if BOARD is not None or not modal.is_local():  # a page that is there only when it is asked for

    @app.function(
        image=image,
        volumes={RUNS: runs_volume},
        secrets=[modal.Secret.from_dict({VARIABLE: BOARD or ""})],
        max_containers=1,
        timeout=86400,
    )
    @modal.concurrent(max_inputs=100)
    @modal.wsgi_app()
    def board() -> Any:  # noqa: ANN401
        """Serve TensorBoard over the runs Volume, to those who have the token."""
        from lightning_modules.cloud.board import serve_board

        token = os.environ.get(VARIABLE, "")
        return serve_board(Path(RUNS), Path("/tmp/board"), runs_volume.reload, seconds=30.0, token=token)


@app.local_entrypoint()
def fit(*arglist: str) -> None:
    """Train a run, as `ninelives fit` would, on Modal's GPUs."""
    if JOB is None:
        refuse("start it as: modal run modal_entry.py::fit ...")
    with told_once():
        job = _with_run(JOB)
        _finish(_follow(job), None if job.trial else f"{job.experiment}/{job.run}")


@app.local_entrypoint()
def sample(*arglist: str) -> None:
    """Sample images from a run on the Volume into a folder here."""
    _run_command("sample", arglist, SAMPLED)


@app.local_entrypoint()
def evaluate(*arglist: str) -> None:
    """Measure the quality of a run's samples; report and plots go into a folder here."""
    _run_command("evaluate", arglist, EVALUATION)


@app.local_entrypoint()
def tensorboard(*arglist: str) -> None:
    """Serve TensorBoard over all runs, until Ctrl-C."""
    import threading

    if BOARD is None:
        refuse("start it as: modal run modal_entry.py::tensorboard")
    with told_once():
        address = board.get_web_url()
        if not address:
            refuse("Modal gave the page no address")
        print("TensorBoard opens with this link alone; keep it to yourself. Ctrl-C ends it.")
        print(link(address, BOARD), flush=True)
        threading.Event().wait()


@app.local_entrypoint()
def upload_data(*arglist: str) -> None:
    """Upload a folder of images to the data Volume."""
    from lightning_modules.cloud.upload import upload_folder

    folder = Path(without_settings(arglist)[0]).resolve()
    with told_once():
        sent, there, passed_over = upload_folder(folder, data_volume)
    if passed_over:
        kinds = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in passed_over.items())
        print(f"Not uploaded, since training does not read them: {kinds}.")
    train_on_it = shlex.join(["modal", "run", "modal_entry.py::fit", "--data.root", folder.name])
    print(f"{sent} {'image' if sent == 1 else 'images'} uploaded, {there} were there. Train: {train_on_it}")


def _run_command(name: str, arglist: Sequence[str], folder: str) -> None:
    """Run a command in the cloud, and write the files that it made into a folder of this machine."""
    from lightning_modules.cloud.remote_command import remote_arguments

    args, place = remote_arguments(without_settings(arglist), Path(folder))
    with told_once():
        files, status, said = run_command.remote(name, args, str(place), dataclasses.asdict(SETTINGS))
        if files:
            place.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (place / file).write_bytes(content)
    if said:
        print(said, file=sys.stderr)
    if files:
        print(f"{len(files)} files in {place.resolve()}")
    if status:
        sys.exit(status)


def _with_run(job: Job) -> Job:
    """Return the job with the run that it continues or starts, after a look at the Volumes.

    Raises:
        SystemExit: If the run is finished, or its data is not there.
    """
    from lightning_modules.cloud.upload import sizes_on

    if job.data is not None and not sizes_on(data_volume, job.data.removeprefix(f"{DATA}/")):
        upload = shlex.join(
            ["modal", "run", "modal_entry.py::upload_data", job.folder or Path(job.data).name]
        )
        refuse(f"no {Path(job.data).name} on the data Volume: upload it with {upload}")
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
    return dataclasses.replace(job, run=chosen.name)


def _follow(job: Job) -> JobResult:
    """Start a run, and wait for it through all the containers that it is handed on to."""
    call = train.spawn(job.as_dict())
    while True:
        outcome = JobResult(**call.get())
        if outcome.call is None:
            return outcome
        print(outcome.message)
        call = modal.FunctionCall.from_id(outcome.call)


def _finish(outcome: JobResult, run: str | None) -> None:
    """Say how a run ended and what can be done with it, and exit as ninelives fit would.

    Args:
        outcome: How it ended.
        run: The run on the Volume; none after a trial.

    Raises:
        SystemExit: If it has not reached its target.
    """
    if outcome.status in ("refused", "failed"):  # the container has said why
        sys.exit(REFUSED if outcome.status == "refused" else FAILED)
    print(outcome.message)
    if run is not None:
        print("\n".join(next_commands(run, SETTINGS)))
    if outcome.status == "stopped":
        sys.exit(RESUME)
