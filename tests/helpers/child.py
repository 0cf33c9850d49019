"""A training process in which something happens: `python child.py WHAT STEP fit-options...`.

WHAT is a signal's name, which the process sends to itself in the middle of the step, the same with `group:`
before it for its whole process group, with `twice:` for two of them at once, with `insist:` for two with the
time between them that makes the second one a request of its own, `pause`, which says so and waits for its
standard input to end, `memory:` and the megabytes that may be taken from that step on, `disk:` and the
bytes that a file may have from that step on, or `none`.
"""

from __future__ import annotations

import sys

from lightning_modules.cli.process import run_command


def main() -> None:
    """Train as `fit.py` does, which imports all that is heavy when the output is guarded."""
    from happening import Happening  # a neighbor of this script, which is run as a program

    from lightning_modules.cli.fit import fit

    fit(sys.argv[3:], extra_callbacks=[Happening(sys.argv[1], int(sys.argv[2]))])


if __name__ == "__main__":
    run_command(main)
