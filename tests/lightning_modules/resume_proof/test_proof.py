"""Whole proofs, with real training processes that are really killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datamodules.utils.exit_codes import RESUME
from lightning_modules.checkpoints.whole import checkpoints_in, write_whole
from lightning_modules.resume_proof.certificate import Certificate
from lightning_modules.resume_proof.child import AttemptSettings, Child, fork_child
from lightning_modules.resume_proof.command import main as prove_command
from lightning_modules.resume_proof.killed_run import KilledRun
from lightning_modules.resume_proof.kills import Kill, Kind, Moment, Tear
from lightning_modules.resume_proof.leaks import leaked
from lightning_modules.resume_proof.proof import Request, prove
from lightning_modules.resume_proof.undisturbed import ProofError, Undisturbed, run_folder, train_undisturbed

STEPS, ACCUMULATION = 6, 2
TENSOR = "network.position_embedding"
"""The first of the weights: those behind it come to differ too, as the training goes on."""


@pytest.fixture(scope="module")
def args(image_folder: Path) -> list[str]:
    """The command line of a tiny run of the demo."""
    settings = {
        "data.root": image_folder,
        "data.cache_dir": image_folder.parent / "cache",
        "data.image_size": 8,
        "data.batch_size": 4,
        "data.val_fraction": 0.25,
        "model.network.patch_size": 2,
        "model.network.width": 16,
        "model.network.depth": 1,
        "model.network.heads": 2,
        "trainer.accelerator": "cpu",
        "trainer.accumulate_grad_batches": ACCUMULATION,
        "sample_grid.every_n_steps": 0,
        "checkpoint.every_n_steps": 2,
    }
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def short(args: list[str]) -> list[str]:
    """The same, as short as `prove` makes it."""
    lengths = {
        "trainer.max_steps": STEPS,
        "trainer.val_check_interval": 4,
        "trainer.log_every_n_steps": 1,
        "learning_rate.warm_up": 2,
        "learning_rate.cool_down": 2,
        "progress_bar.refresh_rate": 0,
    }
    return [*args, *(text for name, value in lengths.items() for text in (f"--{name}", str(value)))]


@pytest.fixture(scope="module")
def undisturbed(short: list[str], tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("like") / "undisturbed"
    return train_undisturbed(fork_child, short, folder, STEPS * ACCUMULATION)


def certify(killed_run: KilledRun, kills: list[Kill]) -> Certificate:
    return Certificate({}, [killed_run.go_through(kills)], [], 0.0, 0.0)


def test_a_run_killed_in_every_way_is_the_undisturbed_one(undisturbed, short, tmp_path):
    kills = [
        Kill(Kind.SIGKILL, 2, True, 0.5),
        Kill(Kind.SIGKILL, 5, False, 0.5),
        Kill(Kind.SIGTERM, 6, False, 0.1),
        Kill(Kind.BETWEEN_WRITE_AND_RENAME, 6, False, 0.0, Moment.RENAME),
        Kill(Kind.TORN, 9, False, 0.5, Tear.FLIPPED),
        Kill(Kind.FULL_DISK, 9, False, 0.0),
    ]
    seen: list[None] = []
    killed_run = KilledRun(fork_child, short, tmp_path, undisturbed, ACCUMULATION, lambda: seen.append(None))
    certificate = certify(killed_run, kills)
    assert certificate.problems == []
    assert [each.difference for each in certificate.comparisons if each.difference] == []
    assert certificate.proven
    assert [death.kill for death in certificate.deaths] == kills
    assert len(seen) == len(kills)
    statuses = {death.kill.kind: death.status for death in certificate.deaths}
    assert statuses[Kind.SIGTERM] == RESUME
    assert statuses[Kind.BETWEEN_WRITE_AND_RENAME] == -9
    assert {each.part for each in certificate.comparisons} >= {
        "weights",
        "averaged weights",
        "optimizer and learning rate",
        "callback state",
        "batch order",
        "steps on TensorBoard's axis",
    }
    assert "IDENTICAL after 6 kills" in certificate.text()


class Forger:
    """Start processes, and change one weight in the newest checkpoint, by one bit, before a certain one."""

    def __init__(self, root: Path, before: int) -> None:
        self.root, self.left = root, before

    def __call__(self, orders: AttemptSettings) -> Child:
        self.left -= 1
        if self.left == 0:
            path = checkpoints_in(run_folder(self.root) / "checkpoints")[-1]
            checkpoint = torch.load(path, weights_only=True)
            weight = checkpoint["current_model_state"][TENSOR]
            weight.view(-1).view(torch.int32)[1] ^= 1
            write_whole(path, lambda stream: torch.save(checkpoint, stream))
        return fork_child(orders)


def test_a_run_that_is_not_exact_is_caught_and_its_tensor_named(undisturbed, short, tmp_path):
    killed_run = KilledRun(
        Forger(tmp_path / "run-1", before=2), short, tmp_path, undisturbed, ACCUMULATION, lambda: None
    )
    certificate = certify(killed_run, [Kill(Kind.SIGKILL, 9, False, 0.0)])
    assert not certificate.proven
    text = certificate.text()
    assert "NOT PROVEN" in text
    differences = {str(each.difference) for each in certificate.comparisons if each.part == "weights"}
    assert any(f"current_model_state.{TENSOR}: at [" in text for text in differences)
    assert f"DIFFERENT: current_model_state.{TENSOR}" in text
    assert certificate.problems == []


def test_a_process_that_fails_is_a_problem_shown_with_its_log(undisturbed, short, tmp_path):
    def start(orders: AttemptSettings) -> Child:
        return fork_child(replace(orders, args=(*orders.args, "--trainer.max_stepz", "4")))

    certificate = certify(KilledRun(start, short, tmp_path, undisturbed, ACCUMULATION, lambda: None), [])
    assert not certificate.proven
    (problem,) = certificate.problems
    assert "unexpected status 2" in problem
    assert "trainer.max_stepz" in problem


def test_other_images_are_a_problem(undisturbed, short, tmp_path):
    other = replace(undisturbed, batches=("elsewhere", *undisturbed.batches[1:]))
    certificate = certify(KilledRun(fork_child, short, tmp_path, other, ACCUMULATION, lambda: None), [])
    assert "micro-batch 0 holds other images or labels" in certificate.problems[0]


def test_a_command_line_that_is_refused_is_no_proof(args, tmp_path):
    with pytest.raises(ProofError, match=r"data\.batch_sizze"):
        prove(Request((*args, "--data.batch_sizze", "4"), tmp_path, kills=1))


def test_a_proof_that_is_stopped_leaves_no_process(undisturbed, short, tmp_path):
    def start(orders: AttemptSettings) -> Child:
        child = fork_child(orders)
        killed_run.sessions.append(child.pid)
        killed_run.stop()
        return child

    killed_run = KilledRun(start, short, tmp_path, undisturbed, ACCUMULATION, lambda: None)
    certificate = certify(killed_run, [])
    assert not certificate.proven
    assert "stopped on request" in certificate.problems[0]
    assert leaked(killed_run.sessions) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kills"),
    [(["--jobs", "2"], 6), (["--fresh-interpreter"], 2)],
    ids=["forked", "fresh interpreters"],
)
def test_the_command_proves_and_reports(args, tmp_path, how, kills):
    report = tmp_path / "proof.json"
    folder = str(tmp_path / "proof")
    options = [*how, "--kills", str(kills), "--steps", str(STEPS), "--json", str(report), "--folder", folder]
    workers = ["--data.workers", "1", "--checkpoint.asynchronous", "true"]
    prove_command([*options, "--", *args, *workers])
    content = json.loads(report.read_text())
    assert content["proven"]
    assert content["all"]["kills"] + content["too_late"] == kills
    assert (content["differences"], content["problems"]) == ([], [])
