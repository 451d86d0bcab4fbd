"""Sound to be read and what was read of it, for the tests of every source."""

import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from stream.records import Block

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(n, channels) that 16 bits hold exactly, so that PCM and FLAC give it back to the bit."""
    whole = np.random.default_rng(seed).integers(-8_000, 8_000, (n, channels))
    return (whole / 32_768).astype(np.float32)


def joined(blocks: Iterator[Block], rate: int) -> np.ndarray:
    """The samples, after a look at the clock."""
    got = list(blocks)
    at = 0
    for block in got:
        assert (block.start, block.rate, block.samples.dtype) == (at, rate, np.float32)
        assert 0 < len(block.samples) <= rate // 10
        at += len(block.samples)
    return np.concatenate([block.samples for block in got]) if got else np.zeros(0, np.float32)


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)
