"""Where a Trainer stands between two steps, as a function of the step alone."""

from __future__ import annotations

from typing import Any


def fit_loop_state(step: int, accumulation: int) -> dict[str, Any]:
    """Return the state of Lightning's fit loop between two optimizer steps of a run of one endless epoch.

    What Lightning saves is the state of the hook that it saves in, counted in micro-batches of the
    accumulation of the time. This is the same position in any hook, and in micro-batches of the
    accumulation there is now, which running out of memory may have changed.

    Args:
        step: Optimizer steps taken.
        accumulation: Micro-batches per step.

    Returns:
        What `trainer.fit_loop.load_state_dict` takes. In Lightning's terms the last micro-batch's work and
        its hooks are done and only its `completed` is to be counted, which the loop does by itself
        when it starts; it then neither repeats nor expects a validation.
    """
    batches = step * accumulation
    done = max(batches - 1, 0)
    micro = {"ready": batches, "started": batches, "processed": batches, "completed": done}
    steps = {"ready": step, "completed": step}
    cleared = {"ready": step, "started": step, "completed": step}
    nothing = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
    epoch = {"ready": 1, "started": 1, "processed": 0, "completed": 0} if step else nothing
    validation = {"total": nothing, "current": nothing, "is_last_batch": False}
    return {
        "state_dict": {},
        "epoch_progress": {"total": epoch, "current": epoch},
        "epoch_loop.state_dict": {"_batches_that_stepped": max(step - 1, 0)},
        "epoch_loop.batch_progress": {"total": micro, "current": micro, "is_last_batch": False},
        "epoch_loop.scheduler_progress": {
            "total": {"ready": 0, "completed": 0},
            "current": {"ready": 0, "completed": 0},
        },
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {"total": steps, "current": steps},
                "zero_grad": {"total": cleared, "current": cleared},
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {
            "total": {"ready": 0, "completed": 0},
            "current": {"ready": 0, "completed": 0},
        },
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": validation,
    }
