"""What files and standard input have in common: how their sound is cut, and what it must be to be listened to."""

import numpy as np

from stream.errors import FileError, UsageError
from stream.records import FloatArray
from stream.resample import check_rate

__all__ = ["BLOCKS_PER_S", "POLL_S", "WITHOUT_END", "check_recorded_rate", "mix_down"]

BLOCKS_PER_S = 10
"""A block is as long as a hop."""

POLL_S = 0.05
"""How soon `stop` is seen by whoever waits."""

WITHOUT_END = 0x7FFFF000
"""From here on the size in a WAV header is none: sox writes this, ffmpeg 2**32 - 1, arecord 2**31."""

_LOUDEST = 1e6  # full scale is 1; the power spectrum of anything up to this stays far inside float32


def mix_down(frames: FloatArray, position: int, rate: int, shown: str) -> FloatArray:
    """One channel of many, by the mean; looks at every value: one that is not finite would stay in every sum.

    Args:
        frames: (n, channels), n at least 1, full scale is [-1, 1].
        position: index of the first of them, at `rate`.
        rate: samples a second.
        shown: what the sound comes from, for the message.

    Returns:
        (n,) float32.

    Raises:
        FileError: a value is not finite, or far beyond full scale; the message gives its place.
    """
    if not np.abs(frames).max() <= _LOUDEST:  # false for not-a-number, too
        at = position + int(np.argmin(np.abs(frames).max(axis=1) <= _LOUDEST))
        raise FileError(
            f"{shown} has a value that is no sound at sample {at} ({at / rate:.3f} s): wanted finite values, full "
            "scale in [-1, 1]; export it again as 16-bit WAV"
        )
    mono: FloatArray = frames.mean(axis=1, dtype=np.float32)
    return mono


def check_recorded_rate(rate: int, shown: str) -> None:
    """See that sound recorded at `rate` can be listened to.

    Raises:
        FileError: it cannot; the message begins with `shown`, what the sound comes from.
    """
    try:
        check_rate(rate)
    except UsageError as error:
        raise FileError(f"{shown}: {error}") from error
