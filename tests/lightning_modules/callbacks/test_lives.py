"""The callback that writes a run's history changes nothing of the run."""

from __future__ import annotations

from lightning_modules.callbacks import lives as callback
from lightning_modules.callbacks.lives import Lives
from lightning_modules.run.lives import lives_of
from tests.helpers.exact import load, train
from tests.helpers.tiny import assert_bitwise_equal


def test_a_history_changes_no_bit(image_folder, tmp_path, monkeypatch):
    plain, told = tmp_path / "plain", tmp_path / "told"
    train(plain, image_folder, max_steps=4)
    told.mkdir()
    monkeypatch.setattr(callback, "run_folder", lambda trainer: told)
    train(told, image_folder, max_steps=4, extra=(Lives(),))
    (life,) = lives_of(told)
    assert (life.reached, life.end, life.facts["checkpoint"]) == (4, "finished", None)
    one, other = load(plain, 4), load(told, 4)
    for part in ("state_dict", "current_model_state"):
        assert_bitwise_equal(one[part], other[part])
    assert one["callbacks"].keys() == other["callbacks"].keys()


def test_nothing_is_kept_where_no_folder_is(image_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "run", image_folder, max_steps=1, extra=(Lives(),))
    assert not list(tmp_path.glob("**/telemetry.jsonl"))
