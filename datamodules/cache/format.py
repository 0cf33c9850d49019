"""What lies in a cache: `images.npy`, and `cache.json` with a digest of every block of it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from datamodules.cache.pixels import MappedImages, Transform
from datamodules.decode.decode import TRANSFORM_VERSION
from datamodules.index.index import ImageIndex

FORMAT_VERSION = 2

BLOCK_FILES = 32
"""Files per block: enough to hide the hand-over between processes, few enough for a smooth progress bar."""

IMAGES, HEADER = "images.npy", "cache.json"

_SAMPLED_BLOCKS = 8


class Block(NamedTuple):
    """What came of `BLOCK_FILES` successive files of the index.

    Attributes:
        kept: Number of images.
        digest: Of their bytes.
        rejected: Row of the index and reason, of each file that could not be decoded.
    """

    kept: int
    digest: str
    rejected: tuple[tuple[int, str], ...]


def cache_key(index: ImageIndex, transform: Transform) -> str:
    """Name of the one cache that belongs to an index and a transform, 32 hex digits."""
    parts = [index.fingerprint, *transform, TRANSFORM_VERSION, FORMAT_VERSION]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def digest(content: bytes) -> str:
    """BLAKE2b-64, against damage and not against malice."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def sealed(payload: object) -> str:
    """One line of JSON behind its own digest."""
    text = json.dumps(payload, separators=(",", ":"))
    return f"{digest(text.encode())} {text}"


def unsealed(line: str) -> object:
    """The payload of a sealed line.

    Raises:
        ValueError: The line was not written whole.
    """
    seal, _, text = line.partition(" ")
    if seal != digest(text.encode()):
        raise ValueError("the checksum of its header is wrong")
    return json.loads(text)


def as_block(fields: object) -> Block:
    """A block from its JSON form.

    Raises:
        ValueError: It is not such a header.
    """
    if not isinstance(fields, list) or len(fields) != len(Block._fields):
        raise ValueError("a block of its header has the wrong form")
    kept, digest_of_it, rejected = fields
    return Block(int(kept), str(digest_of_it), tuple((int(row), str(why)) for row, why in rejected))


def write_array_header(file: BinaryIO, count: int, transform: Transform) -> int:
    """Write the .npy header, which NumPy pads to the same length for every count; return that length."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *transform.shape)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def header_text(key: str, blocks: Iterable[Block]) -> str:
    """Content of `cache.json`."""
    return sealed({"format": FORMAT_VERSION, "key": key, "blocks": list(blocks)}) + "\n"


def read_blocks(folder: Path, key: str) -> list[Block]:
    """Read `cache.json`.

    Raises:
        ValueError: It is not whole, of another format, or of another cache.
        OSError: It cannot be read.
    """
    facts = unsealed((folder / HEADER).read_text(encoding="utf-8").removesuffix("\n"))
    if not isinstance(facts, dict) or (facts.get("format"), facts.get("key")) != (FORMAT_VERSION, key):
        raise ValueError("its header belongs to another cache")
    return [as_block(fields) for fields in facts["blocks"]]


def check_images(folder: Path, blocks: list[Block], files: int, transform: Transform) -> MappedImages:
    """Open `images.npy` and compare it with the header: its size, and the content of some blocks.

    The first and the last block are always checked, the others at random: each opening checks some.

    Raises:
        ValueError: It is not what the header says.
        OSError: It cannot be read.
    """
    if len(blocks) != -(-files // BLOCK_FILES):
        raise ValueError(f"it has {len(blocks)} blocks, which is not the number for {files} files")
    try:
        images = MappedImages(folder / IMAGES)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{IMAGES} is cut short or no array ({error})") from error
    offsets = np.cumsum([0, *(block.kept for block in blocks)])
    if images.array.dtype != np.uint8 or images.shape != (offsets[-1], *transform.shape):
        raise ValueError(f"{IMAGES} holds {images.shape}, the header says {offsets[-1]} images")
    chosen = random.Random().sample(range(len(blocks)), min(len(blocks), _SAMPLED_BLOCKS - 2))
    for number in sorted({0, len(blocks) - 1, *chosen}):
        part = images.array[offsets[number] : offsets[number + 1]]
        if digest(part.tobytes()) != blocks[number].digest:
            raise ValueError(f"the images from number {offsets[number]} on are not those that were written")
    return images
