"""What can be listened to: the least that a source must be, and its sound, looked at before it is believed."""

from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

import numpy as np

from stream.errors import UsageError
from stream.records import Block, Notice

__all__ = ["Audible", "sound_of"]


class Audible(Protocol):
    """A name, a rate, and blocks of sound: what `listen` and `learn_voice` take.

    The sources of the command line are, and so is any object of a program's own. One that is a context manager is
    entered before its first block and left after its last.
    """

    @property
    def name(self) -> str:
        """What it is called, for eyes."""

    @property
    def rate(self) -> int:
        """Samples per second of the blocks, from 8,000 to 192,000."""

    def blocks(self) -> Iterable[Block | Notice]:
        """The sound, in its order, in pieces of any size, counted at `rate`; a jump in `start` is lost sound."""


def sound_of(source: Audible) -> Generator[Block | Notice]:
    """The sound of a source, opened for as long as it lasts.

    Args:
        source: what is listened to.

    Yields:
        What its `blocks` gives; floats of any width as float32.

    Raises:
        UsageError: a block is not mono, not of floats, or not finite.

    >>> class Wrong:
    ...     name, rate = "wrong", 16_000
    ...     def blocks(self):
    ...         yield Block(0, np.zeros(1_600, np.int16))
    >>> [*sound_of(Wrong())]
    Traceback (most recent call last):
        ...
    stream.errors.UsageError: expected float samples (n,) from wrong, got (1600,) of int16; divide 16 bits by 32,768
    """
    with source if isinstance(source, AbstractContextManager) else nullcontext():
        for heard in source.blocks():
            yield heard if isinstance(heard, Notice) else _checked(heard, source)


def _checked(block: Block, source: Audible) -> Block:
    samples = np.asarray(block.samples)
    if samples.dtype.kind != "f" or samples.ndim != 1:
        then = "divide 16 bits by 32,768" if samples.ndim == 1 else "take the mean over the channels"
        raise UsageError(
            f"expected float samples (n,) from {source.name}, got {samples.shape} of {samples.dtype}; {then}"
        )
    if not np.isfinite(samples).all():
        at_s = block.start / source.rate
        raise UsageError(
            f"expected finite samples from {source.name}, got NaN or infinity near {at_s:.1f} s; give zeros there"
        )
    return block if samples.dtype == np.float32 else replace(block, samples=samples.astype(np.float32))
