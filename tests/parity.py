"""The parity law: what comes out does not depend on how the input was cut."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from stream.records import Block


def cuts(n: int, hop: int) -> list[list[int]]:
    """Lists of piece sizes that sum to `n`: single samples, around a hop, a prime, everything."""
    sizes = [1, hop - 1, hop, hop + 1, 997, n]
    return [[min(size, n - at) for at in range(0, n, size)] for size in sizes if 0 < size <= n]


def split_block(block: Block, sizes: Iterable[int]) -> list[Block]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(Block(block.start + at, block.samples[at : at + size].copy(), block.rate))
        at += size
    assert at == len(block.samples)
    return pieces


def run(stage: Any, pieces: Iterable[Any]) -> list[Any]:
    """Everything that a fresh stage gives for `pieces`, flushed."""
    out = [record for piece in pieces for record in stage.push(piece)]
    return out + list(stage.flush())


def assert_streams_alike(
    make_stage: Callable[[], Any],
    pieces: Callable[[Sequence[int]], list[Any]],
    n: int,
    *,
    hop: int,
    gather: Callable[[list[Any]], dict[str, np.ndarray]],
    atol: float,
    rtol: float = 1e-6,
) -> dict[str, np.ndarray]:
    """Push the same input through fresh stages, cut in every way, and compare with one push of everything.

    Args:
        make_stage: makes a fresh stage with `push` and `flush`.
        pieces: cuts the input into records of the given sizes.
        n: units (samples, frames, hops) of input.
        hop: the size around which to cut.
        gather: joins the records that came out into named arrays that do not depend on the cut.
        atol: absolute tolerance on every array.
        rtol: relative tolerance on every array.

    Returns:
        What the whole input gave, so that a test can go on to state what it must be.
    """
    whole = gather(run(make_stage(), pieces([n])))
    for sizes in cuts(n, hop):
        got = gather(run(make_stage(), pieces(sizes)))
        assert got.keys() == whole.keys()
        for key, value in whole.items():
            np.testing.assert_allclose(
                got[key], value, atol=atol, rtol=rtol, err_msg=f"{key}, input cut in pieces of {sizes[0]}"
            )
    return whole
