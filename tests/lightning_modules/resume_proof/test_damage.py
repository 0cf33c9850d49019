from __future__ import annotations

import pytest

from lightning_modules.checkpoints.whole import fault, write_whole
from lightning_modules.resume_proof.damage import tear
from lightning_modules.resume_proof.kills import Tear

CONTENT = bytes(range(1, 256)) * 8


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("how", list(Tear))
def test_a_torn_checkpoint_is_not_whole(tmp_path, how, share):
    path = tmp_path / "step=00000001.ckpt"
    write_whole(path, lambda stream: stream.write(CONTENT))
    assert fault(path) is None
    tear(path, how, share)
    assert fault(path) is not None


def test_each_tear_is_what_it_is_called(tmp_path):
    found = {}
    for how in Tear:
        path = tmp_path / how.name
        path.write_bytes(CONTENT)
        tear(path, how, 0.5)
        found[how] = path.read_bytes()
    place = int(0.5 * (len(CONTENT) - 64))
    assert found[Tear.TRUNCATED] == CONTENT[:place]
    assert found[Tear.EMPTY] == b""
    assert found[Tear.ZEROED] == CONTENT[:place] + bytes(len(CONTENT) - place)
    differing = [i for i in range(len(CONTENT)) if found[Tear.FLIPPED][i] != CONTENT[i]]
    assert differing == [place]


def test_the_file_stays_the_same_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    before = path.stat().st_ino
    for how in (Tear.FLIPPED, Tear.ZEROED, Tear.TRUNCATED, Tear.EMPTY):
        tear(path, how, 0.1)
    assert path.stat().st_ino == before
