from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from datamodules.index.path_table import PathTable

NAMES = (
    "a/b c.jpg",
    "a/two\nlines.jpg",
    "кошка/å.jpg",
    "ねこ/😺.png",
    os.fsdecode(b"caf\xe9.jpg"),
    "x" * 300,
)


def test_a_table_reads_like_a_tuple() -> None:
    table = PathTable.of(NAMES)
    assert len(table) == 6
    assert tuple(table) == NAMES
    assert table == NAMES == table
    assert table != NAMES[:-1]
    assert (table[0], table[-1]) == (NAMES[0], NAMES[-1])
    assert "ねこ/😺.png" in table
    for key in (slice(1, 3), slice(4, 99), slice(3, 1), slice(None, None, -2), slice(6, 6)):
        assert table[key] == NAMES[key]
    with pytest.raises(IndexError):
        table[6]


def test_a_table_is_kept_as_it_is_and_travels_whole() -> None:
    table = PathTable.of(NAMES)
    assert PathTable.of(table) is table
    assert pickle.loads(pickle.dumps(table)) == table
    assert table.take(np.array([4, 0])) == (NAMES[4], NAMES[0])
    assert PathTable.of([]) == ()


def test_memory_is_the_text_and_nine_bytes_a_path() -> None:
    table = PathTable.of(f"class_{i % 7}/{i:06}.jpg" for i in range(10_000))
    assert table.nbytes == 10_000 * (len("class_0/000000.jpg") + 9) + 8
    assert tuple(table)[9_999] == "class_3/009999.jpg"
