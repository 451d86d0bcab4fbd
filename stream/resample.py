"""From a source's own rate to the stream's 16 kHz, by the SoX resampler in its streaming form."""

import functools
import math

import numpy as np
import soxr

from stream.clock import SAMPLE_RATE
from stream.errors import UsageError
from stream.records import Block, FloatArray

__all__ = ["MAX_RATE", "MIN_RATE", "Resampler", "check_rate"]

MIN_RATE = 8_000
"""Least samples a second that can be listened to: below it, too little of a voice is left."""

MAX_RATE = 192_000
"""Most samples a second that can be listened to."""

_QUALITY = "HQ"  # 20 bit: its error lies below the noise of 16-bit sound


def check_rate(rate: int) -> None:
    """See that sound at `rate` can be listened to.

    Raises:
        UsageError: `rate` lies outside `MIN_RATE` to `MAX_RATE`.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UsageError(
            f"sound needs {MIN_RATE} to {MAX_RATE} samples a second, got {rate}: convert it first, for example with "
            f"`ffmpeg -i IN -ar {SAMPLE_RATE} OUT.wav`"
        )


class Resampler:
    """Resamples blocks to 16 kHz, without delay on the clock: a sound keeps its time.

    The band up to 0.91 of the lower Nyquist frequency is kept (7.3 kHz from any higher rate), linear phase. Streamed
    equals `soxr.resample` of the whole. At 16 kHz blocks pass through as they are.

    A gap stays a gap: what came before it is resampled to its end, as at the end of the stream, and the output's clock
    jumps by at least one sample.

    Args:
        rate: samples a second of the blocks to come.
        to: samples a second of what comes out.

    Raises:
        UsageError: see `check_rate`.

    >>> resampler = Resampler(48_000)
    >>> blocks = resampler.push(Block(480_000, np.zeros(48_000, dtype=np.float32), 48_000)) + resampler.flush()
    >>> blocks[0].start, sum(len(block.samples) for block in blocks), blocks[0].rate
    (160000, 16000, 16000)
    """

    def __init__(self, rate: int, to: int = SAMPLE_RATE) -> None:
        check_rate(rate)
        self.rate = rate
        self._to = to
        self._stream: soxr.ResampleStream | None = None  # None between a gap or the end and the next block
        self._expected = 0  # where the next block starts if nothing is lost, at `rate`
        self._next = 0  # where the next output starts, at 16 kHz

    @property
    def latency_samples(self) -> int:
        """Most sound that is held back after a push, at 16 kHz; measured on this machine's soxr.

        From 0 at 16 kHz over some 600 (38 ms) at 48 kHz and 660 (41 ms) at 44.1 kHz to 1,868 (117 ms) at 8 kHz.
        """
        return 0 if self.rate == self._to else _most_held_back(self.rate, self._to)

    def push(self, block: Block) -> list[Block]:
        """Take a block and give what is ready.

        Args:
            block: any number of samples at `rate`, starting where the block before ended, or later.

        Returns:
            Blocks at 16 kHz; the first one's `start` is that of its input, rounded.

        Raises:
            UsageError: the block has another rate, or starts before the block before it ended.
        """
        if block.rate != self.rate or block.start < self._expected:
            raise UsageError(
                f"wanted a block at {self.rate} Hz from sample {self._expected} on, got one at {block.rate} Hz from "
                f"{block.start}: use one resampler for each source, and its blocks in their order"
            )
        gap = block.start > self._expected
        self._expected = block.start + len(block.samples)
        if self.rate == self._to:
            return [block] if len(block.samples) else []
        out = self.flush() if gap else []
        if self._stream is None:
            # At least one sample after what is out: rounding must not hide a gap of a sample or two.
            self._next = max(round(block.start * self._to / self.rate), self._next + gap)
            self._stream = soxr.ResampleStream(self.rate, self._to, 1, dtype="float32", quality=_QUALITY)
        return out + self._emit(self._stream.resample_chunk(np.ascontiguousarray(block.samples)))

    def flush(self) -> list[Block]:
        """End the stream: give what was held back."""
        if self._stream is None:
            return []
        rest = self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        self._stream = None
        return self._emit(rest)

    def _emit(self, samples: FloatArray) -> list[Block]:
        if not len(samples):
            return []
        block = Block(self._next, samples, self._to)
        self._next += len(samples)
        return [block]


@functools.cache
def _most_held_back(rate: int, to: int) -> int:
    # Resampling in blocks (soxr convolves by FFT) holds back an amount that grows with each push and falls when a block
    # is full, whatever the samples are. Two seconds, a millisecond at a time, show the peak to within one piece, which
    # is added: finer pieces may come closer to it. 6 to 18 ms of work, once for each rate.
    stream = soxr.ResampleStream(rate, to, 1, dtype="float32", quality=_QUALITY)
    piece = rate // 1000
    silence = np.zeros(piece, dtype=np.float32)
    held = 0.0
    given = 0
    for taken in range(piece, 2 * rate, piece):
        given += len(stream.resample_chunk(silence))
        held = max(held, taken * to / rate - given)
    return math.ceil(held + piece * to / rate)
