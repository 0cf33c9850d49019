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


@functools.cache
def namespace_command() -> tuple[str, ...] | None:
    """The `unshare` command that gives a private mount namespace here; None where none is allowed."""
    for options in (("--mount",), ("--user", "--map-root-user", "--mount")):
        command = ("unshare", *options)
        try:
            done = subprocess.run((*command, "true"), capture_output=True, timeout=30)
        except OSError:
            return None
        if done.returncode == 0:
            return command
    return None


def container_command(root: Path, workdir: str, volumes: Mapping[str, Path]) -> list[str]:
    """The command that runs Modal's container entry point with `root` as its root folder.

    In a namespace the process sees the system's folders, the Python installation, the files under `root` and the
    Volumes, nothing else of this machine's files. Without one it sees the machine's files, but its import path
    holds only `root`'s `/root` and the installed packages, without editable installs.

    Args:
        root: folder with the mounted sources at their places in the container.
        workdir: the container's working folder.
        volumes: mount path to folder of each Volume.

    Raises:
        RuntimeError: Volumes are mounted, and no namespace can be had: there is no other way to put them at their
            paths.
    """
    # A parent that ignores SIGINT (a background job of a shell) would have the container ignore it too.
    env = ["/usr/bin/env", "--default-signal=INT"]
    unshare = namespace_command()
    if unshare is None:
        if volumes:
            raise RuntimeError(
                "this machine allows no mount namespace (unshare --mount), so the Modal emulator cannot mount "
                f"Volumes at {', '.join(volumes)}; run the tests as root, or allow unprivileged user namespaces"
            )
        packages = ":".join(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
        (root / workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        code_folder = str(root / "root")
        inside = str(root / workdir.lstrip("/"))
        return [*env, "-C", inside, sys.executable, "-S", "-c", _BOOTSTRAP, code_folder, packages]
    binds: list[str] = []
    for source, target in _system_binds(root):
        binds += [str(source), target]
    for target, source in volumes.items():
        (root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        binds += [str(source), target]
    (root / workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
    entry = [*env, "-C", workdir, sys.executable, "-m", "modal._container_entrypoint"]
    return [*unshare, "sh", "-c", _ENTER, "sh", str(root), *binds, "--", *entry]


def _system_binds(root: Path) -> list[tuple[Path, str]]:
    """The machine's folders that the container shares; makes the mount points and the symbolic links."""
    binds = []
    for name in SYSTEM:
        source = Path("/", name)
        target = root / name
        if target.exists() or target.is_symlink():
            raise RuntimeError(f"a mount puts files under /{name}, which the emulated container has from the machine")
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            target.mkdir()
            binds.append((source, f"/{name}"))
    python = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1]}
    for folder in sorted(python):
        if folder.parts[1] not in SYSTEM:
            (root / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
            binds.append((folder, str(folder)))
    (root / "tmp").mkdir(mode=0o1777, exist_ok=True)
    return binds
