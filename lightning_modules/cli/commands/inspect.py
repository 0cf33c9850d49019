"""Inspect a folder of images before training on it: see `ninelives inspect --help`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.utils.exit_codes import REFUSED
from lightning_modules.cli.names import start_of
from lightning_modules.cli.parsing.scripts import ScriptParser, number, path, whole
from lightning_modules.cli.process import one_line_errors

if TYPE_CHECKING:
    from datamodules.decode.decode import Limits
    from datamodules.inspection.findings import Finding
    from datamodules.inspection.inspection import Inspection

EPILOG = """examples:
  ninelives inspect my_images                      a report in inspection/my_images/, contact sheet too
  ninelives inspect my_images --image-size 64 --config cats     is the set large enough for that model?
  ninelives inspect my_images --parameters 40e6                 the same, for a number of parameters
  ninelives inspect my_images --quarantine bad.txt              a list of the files that cannot be used
  ninelives inspect my_images --quarantine bad.txt --also copies lookalikes borders
  ninelives fit --data.root my_images --data.quarantine bad.txt      train without them
  ninelives inspect huge --sample 20000                         look at 20,000 evenly chosen files only

Nothing in the folder is changed.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Inspect as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors("stopped; there is no report", refused_status=REFUSED):
        inspect(_parse(args))


def inspect(options: argparse.Namespace) -> None:
    """Look at the folder, write the report, and print the conclusions."""
    import numpy as np

    from datamodules.cache.cache import default_cache_dir
    from datamodules.decode.decode import Limits
    from datamodules.index.index import scan_folder
    from datamodules.inspection.advice import suggestion
    from datamodules.inspection.facts import inspect_images
    from datamodules.inspection.findings import findings
    from datamodules.inspection.inspection import Inspection
    from datamodules.utils.places import existing_folder
    from datamodules.utils.progress import progress

    out = _output_folder(options.out, existing_folder(options.folder))
    parameters = options.parameters
    if options.config:
        from lightning_modules.cli.capacity import count_parameters

        parameters = count_parameters(options.config, options.image_size)
    limits = Limits(options.max_pixels, options.min_side, options.max_aspect, options.max_metadata)
    index = scan_folder(
        options.folder, default_cache_dir(), options.exclude, split_folders=options.split_folders
    )
    count = min(options.sample or len(index), len(index))
    rows = np.unique(np.linspace(0, len(index) - 1, count).round().astype(np.int64))
    with progress(total=len(rows), desc="looking at images", unit="image") as bar:
        seen = inspect_images(index, rows, limits, options.workers, bar.update)
    inspection = Inspection(index, seen, options.image_size, parameters)
    suggested = suggestion(inspection, str(options.folder), _flags(options, inspection), start_of("fit"))
    conclusions = [*findings(inspection), suggested]
    _write(inspection, conclusions, limits, options.pad, out)
    for finding in conclusions:
        mark = {"good": "ok     ", "look": "look   ", "problem": "problem"}[finding.level]
        print(f"{mark}  {finding.title}. {finding.advice}")
        if finding.command:
            print("\n" + finding.command)
    print(f"\nReport: {out / 'report.html'}")
    if options.quarantine:
        _quarantine(inspection, options.quarantine, options.also)


def _flags(options: argparse.Namespace, inspection: Inspection) -> list[str]:
    """Options of training that make it see what was inspected, and that it would ask for."""
    from datamodules.inspection.findings import asks_about_parts

    flags: list[str] = []
    listed = options.quarantine or options.exclude
    if listed:
        flags += ["--data.quarantine", str(listed)]
    if options.split_folders == "merge" or asks_about_parts(inspection):
        flags += ["--data.split_folders", "merge"]
    if options.pad:
        flags += ["--data.crop", "pad"]
    return flags


def _write(inspection: Inspection, conclusions: list[Finding], limits: Limits, pad: bool, out: Path) -> None:
    from datamodules.inspection.contact_sheet import contact_sheet
    from datamodules.inspection.page import as_html, as_json
    from datamodules.utils.io import atomic_write, write_json, write_text

    sheet = contact_sheet(inspection.index, inspection.seen.rows, inspection.image_size, limits, pad)
    with atomic_write(out / "contact_sheet.png") as file:
        sheet.save(file, "PNG")
    report = as_json(inspection, conclusions, limits)
    write_json(out / "report.json", report, ensure_ascii=False, allow_nan=True)  # a limit may be infinite
    write_text(out / "report.html", as_html(inspection, conclusions, sheet, limits))


def _quarantine(inspection: Inspection, out: Path, also: Sequence[str]) -> None:
    from datamodules.index.quarantine import write_quarantine
    from datamodules.inspection.inspection import to_quarantine

    files = to_quarantine(inspection, also)
    write_quarantine(out, files)
    print(f"Quarantine: {len(files)} files in {out}. Train without them: --data.quarantine {out}")


def _output_folder(out: Path | None, folder: Path) -> Path:
    """Return where the report goes, which is not inside the folder: its pictures would be trained on.

    Raises:
        ValueError: If it is.
    """
    chosen = out or Path("inspection") / folder.resolve().name
    if chosen.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the report would lie inside {folder}; choose another place with --out")
    return chosen


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(args)
    if options.also and not options.quarantine:
        parser.error("--also says what goes into the list: give --quarantine FILE with it")
    return options


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser(
        "inspect",
        "Say what a folder of images holds, what is wrong with it, and what a model sees of it.",
        EPILOG,
    )
    add = parser.add_argument
    add("folder", type=path, help="folder of images; sub-folders are classes")
    add("--out", type=path, help="folder for the report (default: inspection/<name of the folder>)")
    add("--image-size", type=whole(1), default=64, help="side that training is to use, pixels (default 64)")
    add("--pad", action="store_true", help="show images squared with bars instead of cut to the center")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--parameters", type=_count, help="number of the model's parameters, such as 40e6")
    model.add_argument(
        "--config", help="a config of ninelives fit, name or path, whose model's parameters are counted"
    )
    add("--quarantine", type=path, metavar="FILE", help="write a list of the files to leave out")
    add(
        "--also",
        nargs="+",
        default=[],
        choices=["copies", "lookalikes", "borders", "flat"],
        help="quarantine these too, not only what cannot be decoded; of copies the largest image stays",
    )
    add("--exclude", type=path, metavar="FILE", help="leave out the files of an earlier quarantine list")
    add(
        "--split-folders",
        choices=["classes", "merge"],
        default="classes",
        help="whether the first-level folders are classes, or parts of a data set (train, val) to merge",
    )
    add("--sample", type=whole(1), help="look at so many files, evenly chosen (default: all)")
    add("--workers", type=whole(0), default=_cores(), help="processes that decode (default: one a core)")
    add("--max-pixels", type=whole(1), default=2**27, help="largest width x height (default 134,217,728)")
    add("--min-side", type=whole(1), default=4, help="smallest side in pixels (default 4)")
    add("--max-aspect", type=number(least=1.0), default=20.0, help="largest ratio of the sides (default 20)")
    add("--max-metadata", type=whole(0), default=2**27, help="largest texts or profile of a PNG, in bytes")
    return parser


def _count(text: str) -> int:
    return int(number(least=1.0)(text))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
