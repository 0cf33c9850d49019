"""What the facts about a folder's images mean for training on them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from datamodules.index.skipped import passed_over
from datamodules.index.splits import ask_about, parts_of_a_data_set
from datamodules.inspection.inspection import ENLARGED, Inspection
from datamodules.utils.text import listed

_FEW = 10  # images: a smaller class teaches little
UNBALANCED = 10.0
"""Times as many images as in the smallest class, from which on the largest is reported."""

_MEMORIZED, _AT_RISK = 5.0, 50.0  # distinct pixel values per parameter


class Finding(NamedTuple):
    """One conclusion.

    Attributes:
        level: How bad it is.
        title: What is so, in one line.
        advice: What it means or what to do.
        command: The command that does it, if it is one.
    """

    level: Literal["good", "look", "problem"]
    title: str
    advice: str
    command: str = ""


def findings(inspection: Inspection) -> list[Finding]:
    """Conclusions, the worst first."""
    found = [
        *_files(inspection),
        *_classes(inspection),
        *_repetitions(inspection),
        *_pictures(inspection),
        _size(inspection),
        *_capacity(inspection),
    ]
    return sorted(found, key=lambda finding: ("problem", "look", "good").index(finding.level))


def _files(inspection: Inspection) -> list[Finding]:
    found = []
    rejected, looked_at = len(inspection.rejected), len(inspection.seen.rows) + len(inspection.rejected)
    if rejected:
        share = rejected / looked_at
        level: Literal["look", "problem"] = "problem" if share > 0.1 else "look"
        advice = "They are left out of training. More than --data.max_rejected of them (10 %) stop it."
        found.append(
            Finding(level, f"Files that cannot be used: {rejected} of {looked_at} ({share:.1%})", advice)
        )
    else:
        found.append(Finding("good", "Every file can be decoded", "Nothing is left out."))
    others = passed_over(dict(inspection.index.ignored), dict(inspection.index.left_behind))
    if others:
        found.append(Finding("look", others.removesuffix("."), "Training passes over them too."))
    if len(inspection.misnamed):
        advice = "Their content decides how they are read. Nothing needs to be done."
        found.append(Finding("good", f"Files with the wrong ending: {len(inspection.misnamed)}", advice))
    return found


def asks_about_parts(inspection: Inspection) -> bool:
    """Tell whether training would ask what folders such as `train` and `val` are."""
    return parts_of_a_data_set([name for name, count in inspection.class_counts.items() if count])


def _classes(inspection: Inspection) -> list[Finding]:
    counts = {name: count for name, count in inspection.class_counts.items() if count}
    if asks_about_parts(inspection):
        title = f"The classes have the names of a data set's parts: {listed(list(counts))}"
        return [Finding("problem", title, str(ask_about(inspection.index.root, list(counts))))]
    if len(counts) < 2:
        advice = "Training is unconditional. For classes, make a sub-folder for each."
        return [Finding("good", "One class", advice)]
    found = []
    ratio = max(counts.values()) / min(counts.values())
    if ratio > UNBALANCED:
        title = f"The largest of {len(counts)} classes has {ratio:.0f} times the images of the smallest"
        advice = "Rare classes are seen rarely and learned last: sample classes evenly, or merge rare ones."
        found.append(Finding("look", title, advice))
    else:
        found.append(Finding("good", f"{len(counts)} classes of similar size", f"At most {ratio:.1f} to 1."))
    few = [name for name, count in counts.items() if count < _FEW]
    if few:
        advice = "They will be memorized rather than learned: add images, or merge the classes."
        found.append(Finding("look", f"Classes with fewer than {_FEW} images: {len(few)}", advice))
    return found


def _repetitions(inspection: Inspection) -> list[Finding]:
    found = []
    copies = sum(len(group) - 1 for group in inspection.copies)
    alike = len(inspection.surplus) - copies
    if copies or alike:
        title = f"Exact copies: {copies}, near duplicates: {alike}"
        advice = (
            "They are learned more often than others, and a lookalike of a held-out image makes the held-out "
        )
        advice += "error too good. Leave them out with --quarantine FILE --also copies lookalikes."
        level: Literal["look", "problem"] = (
            "problem" if inspection.distinct < 0.8 * len(inspection.seen.rows) else "look"
        )
        found.append(Finding(level, title, advice))
    else:
        found.append(Finding("good", "No copies and no near duplicates", "Each picture is there once."))
    if inspection.mixed:
        advice = "The same picture under two labels blurs what the labels mean: decide for one."
        found.append(
            Finding("problem", f"Pictures that lie in more than one class: {len(inspection.mixed)}", advice)
        )
    return found


def _pictures(inspection: Inspection) -> list[Finding]:
    found = []
    if len(inspection.bordered):
        advice = "The model learns the bars as part of the picture. Crop them, or use --also borders."
        found.append(Finding("look", f"Images with black bars: {len(inspection.bordered)}", advice))
    if len(inspection.flat):
        advice = "Blank pages, placeholders, lens caps? Look at them, or use --also flat."
        found.append(Finding("look", f"Images that are nearly of one color: {len(inspection.flat)}", advice))
    return found


def _size(inspection: Inspection) -> Finding:
    size, enlarged = inspection.image_size, inspection.share_enlarged(inspection.image_size)
    title = f"{enlarged:.0%} of the images are smaller than {size} px"
    advice = f"{inspection.suggested_size} px is the largest size that nine in ten of them reach."
    if enlarged > ENLARGED:
        return Finding("look", title, f"They are enlarged, and the model learns their softness. {advice}")
    return Finding("good", title, advice)


def _capacity(inspection: Inspection) -> list[Finding]:
    values = inspection.values_per_parameter
    if values is None or inspection.parameters is None:
        return []
    share = f"{values:.1f}" if values >= 1 else f"{values:.1g}"
    title = (
        f"{inspection.distinct:,} distinct images at {inspection.image_size} px: {share} pixel values "
        f"for each of the model's {inspection.parameters / 1e6:.1f} M parameters"
    )
    rule = (
        "A rule of thumb after Kadkhodaie et al. 2024: below 5 a model memorizes, from 50 on it generalizes."
    )
    if values < _MEMORIZED:
        return [
            Finding(
                "problem",
                title,
                f"Too few images: take a smaller model, or more images; a command is suggested. {rule}",
            )
        ]
    if values < _AT_RISK:
        return [Finding("look", title, f"Watch the held-out error, and stop when it rises. {rule}")]
    return [Finding("good", title, rule)]
