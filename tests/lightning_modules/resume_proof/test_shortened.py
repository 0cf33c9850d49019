from __future__ import annotations

import pytest

from lightning_modules.resume_proof.shortened import named_options, shortened


def config(**trainer):
    return {
        "trainer": {"max_steps": 1400, "val_check_interval": 200, "log_every_n_steps": 20, **trainer},
        "sample_grid": {"every_n_steps": 0},
        "checkpoint": {"every_n_steps": 500},
        "learning_rate": {"warm_up": 50, "cool_down": 400, "cool_down_start": None},
    }


def test_lengths_shrink_with_the_run():
    assert shortened(config(), 140, ()) == {
        "trainer.max_steps": 140,
        "trainer.val_check_interval": 20,
        "trainer.log_every_n_steps": 2,
        "checkpoint.every_n_steps": 50,
        "learning_rate.warm_up": 5,
        "learning_rate.cool_down": 40,
    }


def test_what_is_there_stays_there():
    options = shortened(config(), 2, ())
    assert all(value >= 1 for value in options.values())
    assert options["learning_rate.warm_up"] + options["learning_rate.cool_down"] <= 2


def test_the_command_line_is_left_as_it_is_but_for_the_length():
    given = named_options(["--checkpoint.every_n_steps", "7", "--trainer.max_steps=9", "-x"])
    assert given == {"checkpoint.every_n_steps", "trainer.max_steps"}
    options = shortened(config(), 140, given)
    assert "checkpoint.every_n_steps" not in options
    assert options["trainer.max_steps"] == 140


@pytest.mark.parametrize("length", [-1, 10])
def test_a_run_without_a_target_or_shorter_than_the_proof_is_not_stretched(length):
    assert shortened(config(max_steps=length), 60, ())["learning_rate.warm_up"] == 50


def test_a_share_of_an_epoch_is_no_length():
    assert "trainer.val_check_interval" not in shortened(config(val_check_interval=0.5), 60, ())


def test_a_run_without_checkpoints_is_refused():
    with pytest.raises(ValueError, match="checkpoints"):
        shortened({**config(), "checkpoint": {"every_n_steps": 0}}, 60, ())
