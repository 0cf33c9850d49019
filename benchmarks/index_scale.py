"""Time and memory of indexing a folder, at first and when nothing has changed since, by the number of files.

Files of 2 KB with distinct content are made in a temporary folder, 1,000 to a class. Each scan is a process
of its own, so that its peak memory is its own; that of the imports is taken off. The first scan reads every
file, the second finds all hashes in the store. Making the files is left out of the times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from machine import describe, machine, write

SCAN = """
import json, resource, sys, time
from pathlib import Path
from datamodules.index.index import scan_folder

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before, started = peak(), time.perf_counter()
index = scan_folder(Path(sys.argv[1]), Path(sys.argv[2]))
seconds = time.perf_counter() - started
kept = index.paths.nbytes + index.labels.nbytes + index.hashes.nbytes
print(json.dumps({"seconds": seconds, "peak": peak() - before, "kept": kept, "files": len(index)}))
"""
SETTLED = 2.5  # seconds after which a file's times tell a further change


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    facts = machine()
    print(describe(facts))
    print(f"{'files':>9}  {'first':>9}  {'second':>9}  {'files/s':>9}  {'index':>12}  {'peak':>12}")
    results = []
    for count in options.files:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            root = make(Path(folder) / "images", count)
            time.sleep(SETTLED)
            first, second = (scan(root, Path(folder) / "cache") for _ in range(2))
            results.append({"files": count, "first": first, "second": second})
            print(
                f"{count:9,}  {first['seconds']:7.2f} s  {second['seconds']:7.2f} s  "
                f"{count / first['seconds']:9,.0f}  {second['kept'] / count:6.0f} B/file  "
                f"{second['peak'] / count:6.0f} B/file"
            )
    write({"machine": facts, "results": results}, options.out)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--files",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        help="numbers of files (default 1000 10000 100000; 1000000 takes 4 GB of disk)",
    )
    parser.add_argument("--folder", type=Path, help="where to make them (default: the temporary folder)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


def make(root: Path, count: int) -> Path:
    """Make the files, quickly: their content is their number, repeated."""
    for start in range(0, count, 1000):
        folder = root / f"class_{start // 1000:04}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + 1000, count)):
            (folder / f"photograph_{number:07}.jpg").write_bytes(b"%08d" % number * 256)
    return root


def scan(root: Path, cache_dir: Path) -> dict[str, float]:
    """Scan in a process of its own; seconds, and bytes at the peak and of the index."""
    command = [sys.executable, "-c", SCAN, str(root), str(cache_dir)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


if __name__ == "__main__":
    main()
