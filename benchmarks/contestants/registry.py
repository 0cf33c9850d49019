"""Which contestants there are."""

from __future__ import annotations

from pathlib import Path

from contestants.task import Contestant, Task

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

OURS = {"ours-dit": CONFIGS / "ours-dit.yaml", "ours-unet": CONFIGS / "ours-unet.yaml"}

PEERS = ("dit-published", "ddpm-pytorch", "diffusers")


def name_of(contestant: str) -> str:
    """Return the name of a contestant: a config's is its file's stem.

    Raises:
        ValueError: If no contestant has that name.
    """
    if contestant in OURS or contestant in PEERS:
        return contestant
    path = Path(contestant)
    if path.suffix not in (".yaml", ".yml"):
        known = ", ".join([*OURS, *PEERS])
        raise ValueError(
            f"there is no contestant '{contestant}': choose {known}, or give the path of a config"
        )
    if not path.is_file():
        raise ValueError(f"there is no config {path}")
    return path.stem


def config_of(contestant: str) -> Path | None:
    """Return the config of one of ours, none of a peer."""
    return None if contestant in PEERS else OURS.get(contestant, Path(contestant))


def make(task: Task) -> Contestant:
    """Make a contestant, whose libraries are imported only now."""
    config = config_of(task.contestant)
    if config is not None:
        from contestants.ours import Ours

        return Ours(task, config)
    from contestants.peers import DdpmPytorchPeer, DiffusersPeer, PublishedDiTPeer

    peers = dict(zip(PEERS, (PublishedDiTPeer, DdpmPytorchPeer, DiffusersPeer), strict=True))
    return peers[task.contestant](task)
