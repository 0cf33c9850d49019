"""A small app for the emulator's own tests: every way for a function to end."""

import os
import signal
import sys
import time
from pathlib import Path

import modal

app = modal.App("emulator-sample")
image = modal.Image.debian_slim(python_version="3.11").uv_pip_install("numpy==2.1.0").env({"GREETING": "good day"})
volume = modal.Volume.from_name("sample-volume", create_if_missing=True, version=2)


@app.function(image=image)
def add(a: int, b: int) -> int:
    print(f"adding {a} and {b}")
    print("to the error stream", file=sys.stderr)
    return a + b


@app.local_entrypoint()
def main(a: int = 2, b: int = 3):
    print("the sum is", add.remote(a, b))
