from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a derived seed is for, so that no two purposes ever share a stream."""

    TRAINING_STEP = 0
    GLOBAL_GENERATORS = 1
    VAL_LOSS = 2
    NOISE_BANDS = 3
    IMAGE = 4


def fold(seed: int, stream: Stream, *counters: int) -> int:
    """Derive a seed for a purpose from a seed and counters, such as `(seed, TRAINING_STEP, step, rank)`.

    Nearby arguments give unrelated results, unlike sums or products of them: numpy's `SeedSequence` hash,
    given each number as two 32-bit words and their count, since it pads with zeros.

    Args:
        seed: The run's seed, in [0, 2^64).
        stream: What the seed is for.
        counters: What the derived stream belongs to, each in [0, 2^64).

    Returns:
        An integer in [0, 2^63), as `torch.Generator.manual_seed` takes it. Torch's CPU generator uses the
        low 32 bits alone.
    """
    numbers = (seed, *counters)
    words = [word for number in numbers for word in (number % 2**32, number // 2**32)]
    return int(np.random.SeedSequence((stream, len(numbers), *words)).generate_state(1, np.uint64)[0] >> 1)
