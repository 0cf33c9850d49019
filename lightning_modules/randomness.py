from __future__ import annotations

import numpy as np


def fold(seed: int, *counters: int) -> int:
    """Derive a seed from a seed and counters, such as `(seed, step, rank)`.

    Nearby arguments give unrelated results, unlike sums or products of them: numpy's `SeedSequence` hash.

    Args:
        seed: The run's seed, non-negative.
        counters: What the derived stream belongs to, non-negative.

    Returns:
        An integer in [0, 2^63), as `torch.Generator.manual_seed` takes it.
    """
    return int(np.random.SeedSequence((seed, *counters)).generate_state(1, np.uint64)[0] >> 1)
