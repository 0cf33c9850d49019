from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from datamodules.sources.rendered_cats import BREEDS, render_cat
from lightning_modules.diffusion.preconditioning import FlowX
from lightning_modules.evaluation.copies import CopyDetector
from lightning_modules.evaluation.denoising import BandError, errors_by_noise_level
from lightning_modules.evaluation.image_sets import ImageSet, Side, Sides
from lightning_modules.evaluation.protocol import Protocol, over_seeds
from lightning_modules.evaluation.report import WIDTH, Report, Row, bands_table, cell, figures_table, laid_out
from lightning_modules.evaluation.self_test import degraded_sets, self_test
from lightning_modules.logs.board import description
from lightning_modules.metrics.feature_networks.random_convolutions import RandomConvolutions
from lightning_modules.metrics.figure import Figure
from lightning_modules.metrics.memorization import Memorization
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.metrics.table import METRICS
from tests.helpers.tiny import module


def smooth(count: int, side: int = 16, seed: int = 0) -> np.ndarray:
    """Images with something in them: blots of color at random places."""
    rng = np.random.default_rng(seed)
    place = np.linspace(-1, 1, side)
    x, y = rng.uniform(-0.7, 0.7, (2, count, 1, 1, 1))
    blot = np.exp(-6 * ((place - x) ** 2 + (place[:, None] - y) ** 2))
    colors, ground = rng.uniform(0, 255, (2, count, 3, 1, 1))
    return np.rint(ground + (colors - ground) * blot).astype(np.uint8)


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return Protocol(RandomConvolutions(), smooth(120), smooth(120, seed=1), quiet=True)


@pytest.mark.parametrize("name", METRICS)
def test_the_floor_is_better_than_the_ceiling(protocol, name):
    assert list(protocol.floor) == list(METRICS)
    floor, ceiling = protocol.floor[name], protocol.ceiling[name]
    if floor.value is None:
        assert floor.note
    else:
        assert floor.value < ceiling.value if METRICS[name].lower_is_better else floor.value > ceiling.value


@pytest.mark.parametrize("name", METRICS)
def test_tables_and_curves_have_every_metric(protocol, name):
    table = figures_table([("floor", protocol.floor), ("ceiling", protocol.ceiling)])
    arrow = "↓" if METRICS[name].lower_is_better else "↑"
    assert f"{METRICS[name].title} {arrow}" in table
    assert description(f"evaluation/{name}") == METRICS[name].text


def test_rank_deficient_frechet_is_refused_with_the_reason(protocol):
    figure = protocol.floor["frechet"]
    assert figure.value is None
    assert "N = 120 < 353" in figure.note
    assert "KID stands in" in figure.note


def test_closest_pairs_say_which_is_which_and_how_far(protocol):
    """A copy stands first, at no distance; held-out images are at 1 by definition."""
    train, val, samples = smooth(60, seed=2), smooth(20, seed=3), smooth(20, seed=4)
    samples[7] = train[5]
    detector = CopyDetector(protocol, train, val, mirrored=False)
    _, pairs = detector.look(samples, protocol.features(samples))
    sheet, images = pairs.laid_out("step 9")
    assert list(sheet.column_names) == ["sample", "training image"] * 4
    assert sheet.captions[0] == "distance 0.00"
    assert np.array_equal(images[0], samples[7])
    assert np.array_equal(images[1], train[5])
    assert sheet.title.endswith("step 9")
    _, of_val = detector.look(val, protocol.features(val))
    assert of_val.distances[(len(val) - 1) // 2] == pytest.approx(1)


def test_figures_have_intervals(protocol):
    for name in ("kid", "precision", "recall", "density", "coverage"):
        figure = protocol.floor[name]
        assert figure.low <= figure.value <= figure.high


def test_frechet_is_given_where_the_rank_allows():
    class Narrow(RandomConvolutions):
        def features(self, images):
            return super().features(images)[:, :20]

    network = Narrow()
    network.num_features = 20
    big = Protocol(network, smooth(120), smooth(120, seed=1), quiet=True)
    assert 0 < big.floor["frechet"].value < big.ceiling["frechet"].value


def test_sets_of_unequal_size_are_refused(protocol):
    with pytest.raises(EvaluationError, match=r"\b19\b.*\b20\b"):
        Protocol(RandomConvolutions(), smooth(20), smooth(19), quiet=True)
    with pytest.raises(EvaluationError, match=r"\b120\b.*\b119\b"):
        protocol.figures(protocol.features(smooth(119)))


def test_several_seeds_give_mean_and_range():
    sets = [{"kid": Figure(value), "frechet": Figure(None, note="no")} for value in (1.0, 2.0, 6.0)]
    combined = over_seeds(sets)
    assert (combined["kid"].value, combined["kid"].low, combined["kid"].high) == (3.0, 1.0, 6.0)
    assert "3 seeds" in combined["kid"].note
    assert combined["frechet"].value is None
    assert over_seeds(sets[:1]) is sets[0]


def band(**errors: float) -> BandError:
    return BandError(
        **{"low": 0.1, "high": 1.0, "train": 2.0, "val": 3.0, "identity": 4.0, "constant": 5.0} | errors
    )


def test_report_stands_between_floor_and_ceiling_and_is_json(protocol, tmp_path):
    rows = [Row("samples", {"nfe": 5}, protocol.floor)]
    report = Report({"N on each side": 120}, protocol.floor, protocol.ceiling, rows, {"EMA": [band()]})
    lines = report.table().splitlines()
    titles = ("floor: real against real", "samples", "ceiling: noise")
    assert [line.split("  ")[0] for line in lines if line.startswith(titles)] == list(titles)
    assert any(line.startswith("Fréchet refused: N = 120 < 353") for line in lines)
    report.save(tmp_path / "report.json")
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["floor"]["kid"]["value"] == protocol.floor["kid"].value
    assert stored["rows"][0]["facts"] == {"nfe": 5}
    assert stored["error_by_noise_level"]["EMA"][0]["gap"] == pytest.approx(0.5)
    assert not [path for path in tmp_path.iterdir() if path.name != "report.json"]


def test_a_figure_that_cannot_tell_noise_from_real_images_is_called_blind(protocol):
    ceiling = protocol.ceiling | {"precision": Figure(1.0)}
    table = Report({}, protocol.floor, ceiling, []).table()
    assert "precision is blind here" in table
    assert "coverage is blind" not in table


LONG = "step 1400, EMA weights (length 0.07, reconstructed from 3 averages of 2 checkpoints)"


@pytest.mark.parametrize("columns", [1, 4, 7, 20])
@pytest.mark.parametrize("title", ["samples", LONG + ", dpmpp_2m" * 8])
@pytest.mark.parametrize("text", ["0.1", "-0.00123 ±0.00012", "refused"])
def test_a_table_fits_a_terminal_and_loses_nothing(columns, title, text):
    rows = [(name, [text] * columns) for name in (title, "ceiling: noise")]
    heads = [f"figure {number} ↓" for number in range(columns)]
    lines = "\n".join(laid_out(heads, rows)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    whole = " ".join(" ".join(lines).split())
    assert whole.count(text) == 2 * columns
    assert all(each in whole for each in (title, *heads))


def test_a_report_fits_a_terminal(protocol):
    words = {"reference": "a/folder/somewhere " * 12, "N on each side": 120}
    rows = [Row(LONG + ", dpmpp_2m, NFE 8, to sigma 0.2" * 3, {}, protocol.floor)] * 2
    report = Report(words, protocol.floor, protocol.ceiling, rows, {f"{LONG} {LONG}": [band()] * 7})
    assert max(map(len, report.describe().splitlines())) <= WIDTH


def test_cells():
    assert cell(Figure(0.5, 0.4, 0.7)) == "0.5 ±0.15"
    assert cell(Figure(12.3456)) == "12.35"
    assert cell(Figure(None, note="why")) == "refused"
    assert cell(None) == "-"
    assert "+50.0%" in bands_table([band()])


def test_errors_by_noise_level_of_an_untrained_network():
    """It predicts 0 where FlowX is untrained: the error is the images' power, at every noise level."""
    images = smooth(40, side=8)
    labels = np.zeros(40, dtype=np.int64)
    model = module(preconditioner=FlowX())
    sides = Sides(Side(images[:20], labels[:20]), Side(images[20:], labels[20:]))
    bands = errors_by_noise_level(model, sides, edges=(0.1, 1.0, 10.0), batch_size=7, quiet=True)
    power = [(torch.from_numpy(side.images).float() / 127.5 - 1).square().mean().item() for side in sides]
    for found in bands:
        assert (found.train, found.val) == pytest.approx(power, rel=1e-4)
        assert found.gap == pytest.approx(power[1] / power[0] - 1, abs=1e-4)
    # The mean of sigma^2 over a band even in ln sigma.
    assert bands[0].identity == pytest.approx((1 - 0.01) / (2 * np.log(10)), rel=0.1)
    assert model.training


@pytest.fixture(scope="module")
def real() -> ImageSet:
    """Rendered cats, whose outlines suffer from blur."""
    count = 360
    cats = [render_cat(BREEDS[i % len(BREEDS)], 32, np.random.default_rng(i)) for i in range(count)]
    images = np.stack([np.asarray(cat).transpose(2, 0, 1) for cat in cats])
    nobody = np.zeros(count, dtype=bool)
    return ImageSet("cats", images, np.arange(count) % len(BREEDS), tuple(BREEDS), nobody, "0")


def test_spoilt_sets_are_as_large_and_spoilt():
    images = smooth(60)
    sets = degraded_sets(images, np.arange(60) % 2, seed=0)
    assert {len(damaged) for damaged in sets.values()} == {60}
    assert len(np.unique(sets["10% distinct"], axis=0)) == 6
    assert len(np.unique(sets["one class"], axis=0)) <= 30
    roughness = [
        np.abs(np.diff(damaged.astype(int), axis=3)).mean()
        for name, damaged in sets.items()
        if "blur" in name
    ]
    assert roughness == sorted(roughness, reverse=True)


@pytest.fixture(scope="module")
def tested(real):
    return self_test(real, RandomConvolutions(), count=180)


@pytest.mark.slow
def test_self_test_passes_on_real_images(tested):
    assert tested.passed, tested.describe()
    assert "checks passed" in tested.describe()
    assert {"real", "noise", "one class", "2% distinct", "blur 2 px"} <= set(tested.figures)


@pytest.mark.parametrize(
    ("name", "broken", "claim"),
    [
        ("kid.kernel_distance", lambda real, fake: 1.0, "kid rises with more blur"),
        (
            "kid.kernel_distance",
            lambda real, fake: float("inf") if real is fake else 0.0,
            "kid rises with more noise",
        ),
    ],
)
def test_self_test_notices_a_broken_metric(real, name, broken, claim, monkeypatch):
    monkeypatch.setattr(f"lightning_modules.metrics.{name}", broken)
    result = self_test(real, RandomConvolutions(), count=60)
    assert not result.passed
    assert f"FAIL {claim}" in result.describe()


def test_self_test_notices_a_gauge_that_is_deaf(real, monkeypatch):
    deaf = Memorization(1.0, (1.0, 1.0), 0.0, 0.0, 0.0)
    monkeypatch.setattr("lightning_modules.evaluation.self_test.memorization", lambda *_: deaf)
    failed = [
        check.claim for check in self_test(real, RandomConvolutions(), count=60).checks if not check.held
    ]
    assert "the memorization gauge rings on copies" in failed
    assert "the memorization gauge is silent on held-out images" not in failed
