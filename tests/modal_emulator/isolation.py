"""The container's file system: its own root, in a private mount namespace where the machine allows one."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "etc", "opt", "proc", "sys", "dev")

# Binds each pair of arguments up to `--` under the new root, then becomes the command in it.
_ENTER = """
set -e
root=$1; shift
while [ "$1" != -- ]; do mount --rbind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"""

# Without a namespace: `-S` leaves out .pth files, and with them every editable install.
_BOOTSTRAP = """
import runpy, sys
sys.path[0:0] = [sys.argv[1]]
sys.path.extend(sys.argv[2].split(":"))
sys.argv[1:] = []
runpy.run_module("modal._container_entrypoint", run_name="__main__", alter_sys=True)
"""


class ContainerRefusedError(Exception):
    """A container that cannot be run on this machine."""


@functools.cache
def namespace_commands() -> tuple[tuple[str, ...], ...]:
    """The `unshare` commands that give a private mount namespace on this machine, the preferred one first."""
    ways = [("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount")]
    return tuple(way for way in ways if _succeeds((*way, "true")))


def namespace_command() -> tuple[str, ...] | None:
    """The preferred one of `namespace_commands`; None where no namespace is allowed."""
    return next(iter(namespace_commands()), None)


def _succeeds(command: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except OSError:
        return False


def container_command(
    unshare: tuple[str, ...] | None, root: Path, workdir: str, volumes: Mapping[str, Path]
) -> list[str]:
    """The command that runs Modal's container entry point with `root` as its root folder.

    In a namespace the process sees the system's folders, the Python installation, the files under `root` and
    the Volumes, nothing else of this machine's files. Without one it sees the machine's files, but its import
    path holds only `root`'s `/root` and the installed packages, without editable installs.

    Args:
        unshare: the command for a namespace; None without one.
        root: folder with the mounted sources at their places in the container.
        workdir: the container's working folder.
        volumes: mount path to folder of each Volume.

    Raises:
        ContainerRefusedError: Volumes are mounted, and without a namespace they cannot be put at their paths.
    """
    # A parent that ignores SIGINT (a background job of a shell) would have the container ignore it too.
    env = ["/usr/bin/env", "--default-signal=INT"]
    inside = root / workdir.lstrip("/")
    inside.mkdir(parents=True, exist_ok=True)
    if unshare is None:
        if volumes:
            raise ContainerRefusedError(
                "this machine allows no mount namespace (unshare --mount), without which the Modal emulator "
                "cannot mount Volumes; run the tests as root, or allow unprivileged user namespaces"
            )
        packages = ":".join(
            path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")
        )
        bootstrap = ["-S", "-c", _BOOTSTRAP, str(root / "root"), packages]
        return [*env, "-C", str(inside), sys.executable, *bootstrap]
    binds: list[str] = []
    for source, target in _system_binds(root):
        binds += [str(source), target]
    for target, source in volumes.items():
        (root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        binds += [str(source), target]
    entry = [*env, "-C", workdir, sys.executable, "-m", "modal._container_entrypoint"]
    return [*unshare, "sh", "-c", _ENTER, "sh", str(root), *binds, "--", *entry]


def _system_binds(root: Path) -> list[tuple[Path, str]]:
    """The machine's folders that the container shares; makes the mount points and the symbolic links."""
    binds = []
    for name in SYSTEM:
        source = Path("/", name)
        target = root / name
        if target.exists() or target.is_symlink():
            raise ContainerRefusedError(
                f"a mount puts files under /{name}, which the emulated container has from the machine"
            )
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            target.mkdir()
            binds.append((source, f"/{name}"))
    python = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1]}
    # Packages can also be elsewhere, through a .pth file of the environment.
    python |= {path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")}
    for folder in sorted(python):
        inside_another = any(parent in python for parent in folder.parents)
        if folder.parts[1] not in SYSTEM and not inside_another:
            (root / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
            binds.append((folder, str(folder)))
    (root / "tmp").mkdir(mode=0o1777, exist_ok=True)
    return binds
