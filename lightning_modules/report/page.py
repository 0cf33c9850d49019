"""The page of a run as a whole."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from datamodules.errors import printable
from datamodules.pages.html import bars, figures, finding, page, section, table, text
from datamodules.utils.io import remove_abandoned, write_text
from lightning_modules.cost.cost import duration
from lightning_modules.report.curves import by_noise_level, loss, speed
from lightning_modules.report.lives import strip
from lightning_modules.report.pictures import REEL_STYLE, grids
from lightning_modules.report.record import Record, record_of
from lightning_modules.report.remarks import remarks
from lightning_modules.report.words import counted, images_seen, large, moment, seconds_trained, story

logger = logging.getLogger(__name__)

_CLASSES = 40  # that have a bar of their own
_MOST_CONFIG = 40_000  # characters of a configuration that are shown


Commands = Mapping[str, str]
"""Lines for a shell, by what they do."""


def write_report(
    folder: Path, out: Path | None = None, commands: Callable[[Record], Commands] = lambda _: {}
) -> Path:
    """Write the page of a run, whole or not at all, and return where.

    Args:
        folder: The run directory.
        out: The file; None: `report.html` in the run.
        commands: Returns what can be done with it next.

    Raises:
        OSError: If it cannot be written.
    """
    record = record_of(folder)
    path = out or record.run.report
    remove_abandoned(path.parent, glob.escape(path.name))
    write_text(path, as_html(record, commands(record)))
    return path


def as_html(record: Record, commands: Commands) -> str:
    """Return the page.

    Args:
        record: What there is to tell.
        commands: What can be done with it next.
    """
    name = record.run.folder.absolute().name
    parts = [
        f"<h1>{text(record.experiment)}</h1>",
        f'<p class="path">{text(name)} &middot; as of {text(moment(record.written))}</p>',
        f'<p class="lede">{text(story(record))}</p>',
        figures(_figures(record)),
        _remarks(record, commands),
        section("Lives", strip(record)),
        grids(record),
        loss(record),
        by_noise_level(record),
        _quality(record),
        speed(record),
        '<div class="columns">',
        _data(record),
        _cost(record),
        _circumstances(record),
        "</div>",
        _commands(commands),
        _configuration(record),
        '<p class="more">Written by Nine Lives. This file needs no other file, no network and no script.</p>',
    ]
    return page(f"{record.experiment} - report", parts, REEL_STYLE)


def _figures(record: Record) -> list[tuple[str, str]]:
    shown = [(f"{record.step:,}", f"of {counted(record.target, 'step')}" if record.target else "steps")]
    seen = images_seen(record)
    if seen:
        shown.append((large(seen) if seen >= 1e6 else f"{seen:,}", "images seen"))
    val, train = record.curve("loss/val"), record.curve("loss")
    if val:
        shown.append((f"{val[-1][1]:.4g}", "loss on held-out images"))
    elif train:
        shown.append((f"{train[-1][1]:.4g}", "loss of the last logged step"))
    seconds = seconds_trained(record)
    if seconds:
        shown.append((duration(seconds), "of training"))
    if record.lives:
        shown.append((f"{len(record.lives):,}", "life" if len(record.lives) == 1 else "lives"))
        shown.append((f"{record.lost:,}", "step lost" if record.lost == 1 else "steps lost"))
    if record.containers:
        shown.append((f"${sum(each['usd'] for each in record.containers):.2f}", "on Modal"))
    return shown


def _remarks(record: Record, commands: Commands) -> str:
    return section("What stands out", "".join(finding(*each) for each in remarks(record, commands)))


def _quality(record: Record) -> str:
    if record.evaluation is None:
        return ""
    from lightning_modules.report.quality import quality

    return quality(record, record.evaluation)


def _data(record: Record) -> str:
    if record.data is None:
        return ""
    counts = sorted(
        zip(record.data.class_names, record.data.class_counts, strict=False), key=lambda each: -each[1]
    )
    shown, rest = dict(counts[:_CLASSES]), counts[_CLASSES:]
    if rest:
        shown[f"{len(rest):,} smaller classes"] = sum(count for _, count in rest)
    facts = [("images", f"{sum(record.data.class_counts):,}")]
    val_images = record.fact("val_images")
    if isinstance(val_images, int):
        facts.append(("held out", f"{val_images:,}"))
    facts += [
        (words, _plain(value))
        for words, name in _OF_DATA.items()
        if (value := record.setting(name)) not in (None, False)
    ]
    facts.append(("fingerprint", record.data.fingerprint))
    return section("Data", bars(shown) + table(facts, kind="list facts"))


_OF_DATA = {
    "folder": "data.root",
    "size in pixels": "data.image_size",
    "crop": "data.crop",
    "mirrored": "data.flip",
    "augmentation": "data.augmentation",
    "batch size": "data.batch_size",
    "classes equally often": "data.class_balanced",
}


def _cost(record: Record) -> str:
    if record.containers:
        containers = [
            (moment(each["started"]), str(each["device"]), duration(each["seconds"]), f"${each['usd']:.2f}")
            for each in record.containers[-20:]
        ]
        usd, seconds = (sum(each[name] for each in record.containers) for name in ("usd", "seconds"))
        many = counted(len(record.containers), "container")
        words = f"<p>${usd:.2f} for {text(duration(seconds))} in {many} on Modal, an estimate.</p>"
        return section("Cost", words + table(containers, ("started", "on", "time", "cost")))
    seconds, seen = seconds_trained(record), images_seen(record)
    if not seconds:
        return ""
    rows = [("time of training", duration(seconds))]
    if seen:
        rows.append(("images seen", f"{seen:,}"))
        images = record.fact("images")
        if isinstance(images, int) and images:
            rows.append(("passes over the images", f"{seen / images:.1f}"))
    taken = sum(life.reached - life.step for life in record.lives)
    if taken:
        rows.append(("steps taken, lost ones included", f"{taken:,}"))
    return section("Time", table(rows, kind="list facts"))


def _circumstances(record: Record) -> str:
    rows = [
        (words, _plain(value))
        for words, name in (
            ("device", "device"),
            ("processes", "processes"),
            ("threads", "threads"),
            ("precision", "precision"),
            ("images per step", "images_per_step"),
            ("parameters", "parameters"),
        )
        if (value := record.fact(name)) is not None
    ]
    there = record.manifest.get("circumstances")
    if isinstance(there, Mapping):
        rows += [(str(name), _plain(value)) for name, value in there.items() if value is not None]
    return section("Made with", table(rows, kind="list facts"))


def _commands(commands: Commands) -> str:
    lines = "".join(
        f'<div class="command"><span>{text(what.capitalize())}</span><code>{text(line)}</code></div>\n'
        for what, line in commands.items()
    )
    return section("Go on", lines)


def _configuration(record: Record) -> str:
    if not record.config:
        return ""
    lines = yaml.safe_dump(dict(record.config), sort_keys=False, allow_unicode=True)
    shown = printable_lines(lines[:_MOST_CONFIG])  # cut before it is escaped, not within a character
    more = "\n..." if len(lines) > _MOST_CONFIG else ""
    name = text(record.run.config.name)
    return section(
        "Configuration",
        f"<details><summary>All settings ({name})</summary><pre>{shown}{more}</pre></details>",
    )


def printable_lines(lines: str) -> str:
    """Return text of several lines as HTML, each line made printable."""
    return "\n".join(text(printable(line)) for line in lines.splitlines())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return json.dumps(value, default=str)
