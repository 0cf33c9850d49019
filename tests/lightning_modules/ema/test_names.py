from __future__ import annotations

import argparse
import re
import subprocess
import sys

import pytest

from lightning_modules.ema.names import WeightsNameError, length_in, weights_name, weights_names


@pytest.mark.parametrize(
    ("text", "name", "length"),
    [
        ("ema", "ema", None),
        ("raw", "raw", None),
        (" ema=0.10 ", "ema=0.1", 0.1),
        ("ema=5e-2", "ema=0.05", 0.05),
    ],
)
def test_names_are_written_in_one_way(text, name, length):
    assert weights_name(text) == name
    assert length_in(name) == length


def test_several_names():
    assert weights_names("ema, raw,ema=0.05") == ["ema", "raw", "ema=0.05"]


@pytest.mark.parametrize(
    "text", ["", "emma", "raw=0.1", "ema=", "ema=long", "ema=0", "ema=0.3", "ema=nan", "ema,"]
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(WeightsNameError):
        weights_names(text)


def test_argparse_says_what_was_wrong(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=weights_names)
    with pytest.raises(SystemExit):
        parser.parse_args(["--weights", "ema,ema=0.5"])
    assert re.search(r"--weights: .*'ema=0\.5'.*\b0\.288675\b", capsys.readouterr().err)


def test_names_are_known_without_torch():
    code = "import sys, lightning_modules.ema.names; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
