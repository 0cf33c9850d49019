from __future__ import annotations

import dataclasses
import re

import pytest
import yaml
from markdown_it import MarkdownIt

from lightning_modules.checkpoints.facts import CheckpointFacts
from lightning_modules.export.licenses import Licenses
from lightning_modules.export.manifest import Guide, describe
from lightning_modules.export.model_card import MeasuredQuality, ModelCard
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import module

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "a\n---\nlicense: mit\n# heading",
    "`x` | **y** [z](javascript:alert(1))",
    "```\n</details>",
    "'); import os; ('",
)


def card(names: tuple[str, ...] = ("a", "b"), **changes: object) -> ModelCard:
    model = module(class_names=names)
    description = describe(model, CheckpointFacts(1400, "averaged"), Sampling(steps=9))
    made = ModelCard(
        "demo", description, 1234, Licenses("CC-BY-4.0", "MIT"), {"steps": "1,400"}, "Samples.", {names[0]: 7}
    )
    return dataclasses.replace(made, **changes)


def front_matter(text: str) -> dict[str, object]:
    start, told, _ = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(told)


def elements(text: str) -> list[str]:
    """The elements of the page in their order."""
    body = text.split("---\n", 2)[2]
    return re.findall(r"<(/?\w+)", MarkdownIt("commonmark").enable("table").render(body))


def named(name: str, place: str) -> str:
    """A card with a name in a place."""
    changes: dict[str, object] = {
        "class": {"class_counts": {name: 3}},
        "title": {"title": name},
        "settings": {"settings": {"experiment": name}},
        "training": {"training": {name: name}},
        "quality": {"quality": MeasuredQuality([], [[name]], [name], {name: name}, [name])},
    }[place]
    return card((name, "b") if place == "class" else ("a", "b"), **changes).render()


def test_front_matter_is_what_the_hub_reads() -> None:
    told = front_matter(card().render())
    assert told["license"] == "mit"
    assert told["library_name"] == "ninelives"
    assert told["pipeline_tag"] == "unconditional-image-generation"
    assert {"safetensors", "onnx", "dit", "class-conditional"} <= set(told["tags"])
    assert "datasets" not in told
    assert "unconditional" in front_matter(card(("images",)).render())["tags"]


def test_front_matter_is_read_by_the_hub_s_own_library() -> None:
    from huggingface_hub import ModelCard as HubCard

    data = HubCard(card().render(), ignore_metadata_errors=False).data
    assert (data.license, data.pipeline_tag) == ("mit", "unconditional-image-generation")


def test_licenses_are_those_that_were_said() -> None:
    assert "* Weights: `MIT`\n* Images that the model was trained on: `CC-BY-4.0`" in card().render()
    unsaid = card(licenses=Licenses("CC-BY-4.0", None)).render()
    assert front_matter(unsaid)["license"] == "other"
    assert "Weights: **not stated**" in unsaid


def test_without_an_evaluation_it_says_so() -> None:
    text = card().render()
    assert "not evaluated" in text
    assert "**Not measured.**" in text


def test_figures_stand_between_floor_and_ceiling_with_intervals() -> None:
    quality = MeasuredQuality(
        ["KID ↓"],
        [["floor", "0.1 ±0.02"], ["step 1400", "3.1 ±0.2"], ["ceiling", "8.1 ±0.2"]],
        ["± is half the width"],
        {"N on each side": 900},
        ["step 1400: no sign of memorizing"],
    )
    text = card(quality=quality).render()
    assert "| floor | 0.1 ±0.02 |\n| step 1400 | 3.1 ±0.2 |\n| ceiling | 8.1 ±0.2 |" in text
    assert "| N on each side | 900 |" in text
    assert "* step 1400: no sign of memorizing" in text
    assert "not evaluated" not in text


@pytest.mark.parametrize("place", ["class", "title", "settings", "training", "quality"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_make_nothing(name: str, place: str) -> None:
    hostile, harmless = named(name, place), named("x", place)
    assert elements(hostile) == elements(harmless)
    assert front_matter(hostile) == front_matter(harmless)


@pytest.mark.parametrize("name", [*HOSTILE, '"; rm -rf ~', "a, b", " a", "none", "0", "---", "caf\udce9"])
def test_the_program_asks_for_a_class_with_any_name(name: str) -> None:
    text = card((name, "b")).render()
    program = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)
    assert program is not None
    asked = re.search(r"\.sample\((labels=.*), n=16\)", program[1])
    assert asked is not None
    assert eval(f"dict({asked[1]})") == {"labels": name}  # `nl.load(...).sample` takes the name itself


def test_a_name_that_cannot_be_printed_has_its_number_of_images() -> None:
    text = card(("new\nline", "b"), class_counts={"new\\nline": 7, "b": 3}).render()
    assert "new line (7), b (3)" in text


@pytest.mark.parametrize(
    ("title", "name"),
    [("demo", "demo"), ("../a b", "a-b"), ("кот", "model"), ("x" * 99, "x" * 64), ("..", "model")],
)
def test_the_name_is_one_of_a_repository(title: str, name: str) -> None:
    assert card(title=title).name == name


def test_many_classes_are_not_all_listed() -> None:
    text = card(tuple(f"class{i}" for i in range(100))).render()
    assert "class59" in text
    assert "class60" not in text
    assert "40 more" in text


def test_a_guide_is_told_of() -> None:
    model = module()
    sampling = Sampling(guidance=2.0, guide_length=0.25)
    guide = Guide(0.25, "guide.safetensors")
    description = describe(model, CheckpointFacts(1, "averaged"), sampling, guide)
    text = card(description=description).render()
    assert "`guide.safetensors`" in text
    assert "`guide.safetensors`" not in card().render()
    assert "| guidance\\_interval | 0 to infinity |" in text
