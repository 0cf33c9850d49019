"""Prove that runs cannot be lost, as `ninelives prove` does: see `python scripts/prove_resume.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.resume_proof.command import main

if __name__ == "__main__":
    _launch.launch(main)
