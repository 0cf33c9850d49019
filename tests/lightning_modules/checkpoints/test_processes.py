"""Real processes: killed between write and rename, reading while another writes, without permission."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from lightning_modules.checkpoints.errors import ADVICE
from lightning_modules.checkpoints.names import checksum_file, path_of
from lightning_modules.checkpoints.whole import fault, newest_whole, write_whole
from tests.helpers.places import REPOSITORY

BLOCKS_AT = """
    import sys
    from pathlib import Path
    from datamodules.utils import io
    from lightning_modules.checkpoints.whole import write_whole

    path, stop = Path(sys.argv[1]), int(sys.argv[2])
    publish, calls = io.publish, 0

    def block(message):
        print(message, flush=True)
        sys.stdin.read()

    def counted(temporary, place):
        global calls
        if calls == stop:
            block("before the rename")
        calls += 1
        publish(temporary, place)

    io.publish = counted

    def write(stream):
        stream.write(b"half")
        if stop < 0:
            stream.flush()
            block("half-way")
        stream.write(b"whole")

    write_whole(path, write)
    block("done")
"""


def child(script: str, *args: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=environment, **pipes, **options)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    process.stdin.close()
    process.stdout.close()


def write(path, content):
    write_whole(path, lambda stream: stream.write(content))


# -1: half of the bytes are in the temporary file; 0: the checksum's rename; 1: the checkpoint's; 2: done
@pytest.mark.parametrize("stop", [-1, 0, 1, 2])
def test_killed_while_it_writes_a_checkpoint(stop, tmp_path):
    older, newer = path_of(tmp_path, 1), path_of(tmp_path, 2)
    write(older, b"older")
    process = child(BLOCKS_AT, newer, stop)
    assert process.stdout.readline() == {-1: "half-way\n", 2: "done\n"}.get(stop, "before the rename\n")
    kill(process)
    done = stop == 2
    assert newer.exists() == done
    assert bool(list(tmp_path.glob(".*.tmp"))) != done
    assert newest_whole(tmp_path) == (newer if done else older)
    assert not list(tmp_path.glob(".*"))
    assert not list(tmp_path.glob("*.corrupt"))
    write(newer, b"again")  # as a resumed run would
    assert newest_whole(tmp_path) == newer


# 0: the rename of the checksums, of both files; 1: the checkpoint's; 2: that of the new checksum alone
@pytest.mark.parametrize("stop", [-1, 0, 1, 2, 3])
def test_killed_while_it_replaces_a_checkpoint(stop, tmp_path):
    path = path_of(tmp_path, 1)
    write(path, b"old")
    process = child(BLOCKS_AT, path, stop)
    process.stdout.readline()
    kill(process)
    assert path.read_bytes() == (b"old" if stop < 2 else b"halfwhole")
    assert newest_whole(tmp_path) == path
    assert not list(tmp_path.glob(".*"))
    write(path, b"again")
    assert fault(path) is None
    assert len(checksum_file(path).read_text().splitlines()) == 1


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    older, newer = path_of(tmp_path, 1), path_of(tmp_path, 2)
    write(older, b"older")
    process = child(BLOCKS_AT, newer, 1)
    process.stdout.readline()
    assert newest_whole(tmp_path) == older
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert process.communicate("go on", timeout=60)[0] == "done\n"
    assert process.returncode == 0
    assert newest_whole(tmp_path) == newer
    assert newer.read_bytes() == b"halfwhole"


def test_a_reader_never_sees_a_half(tmp_path):
    path = path_of(tmp_path, 1)
    write(path, b"0" * 100_000)
    script = """
        import sys
        from pathlib import Path
        from lightning_modules.checkpoints.whole import write_whole

        for number in range(40):
            content = str(number).encode() * 100_000
            write_whole(Path(sys.argv[1]), lambda stream: stream.write(content))
    """
    process = child(script, path)
    looks = 0
    while process.poll() is None or not looks:
        assert fault(path) is None
        looks += 1
    process.communicate()
    assert process.returncode == 0
    assert fault(path) is None
    assert path.read_bytes() == b"39" * 100_000


def test_two_processes_in_one_folder(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from lightning_modules.checkpoints.names import path_of
        from lightning_modules.checkpoints.whole import newest_whole, write_whole

        folder, first = Path(sys.argv[1]), int(sys.argv[2])
        for step in range(first, 40, 2):
            write_whole(path_of(folder, step), lambda stream: stream.write(str(step).encode()))
            assert newest_whole(folder) is not None
    """
    processes = [child(script, tmp_path, first) for first in (0, 1)]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0]
    assert [fault(path_of(tmp_path, step)) for step in range(40)] == [None] * 40
    assert len({path.name for path in tmp_path.iterdir()} - {"last.ckpt"}) == 80


def test_without_permission_nothing_is_lost_and_damage_is_passed_over(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        write(path_of(folder, step), b"content")
    path_of(folder, 2).write_bytes(b"consent")
    (folder / ".step=00000003.ckpt.1.tmp").touch(0o666)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o555)
    # From within the folder, for another user may not pass those above it. Root may write anywhere.
    script = """
        import os
        from pathlib import Path
        from lightning_modules.checkpoints.names import path_of
        from lightning_modules.checkpoints.whole import newest_whole, write_whole

        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            write_whole(Path("step=00000004.ckpt"), lambda stream: None)
        except OSError as error:
            print(type(error).__name__, error)
        print(newest_whole(Path()))
    """
    process = child(script, cwd=folder, stderr=subprocess.PIPE)
    said, warned = process.communicate(timeout=60)
    folder.chmod(0o755)
    refused, used = said.splitlines()
    assert refused.startswith(f"CheckpointWriteError [Errno {errno.EACCES}] ")
    assert f"step=00000004.ckpt: {os.strerror(errno.EACCES)}" in refused
    assert ADVICE[errno.EACCES] in refused
    assert used == "step=00000001.ckpt"
    assert "step=00000002.ckpt" in warned
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
