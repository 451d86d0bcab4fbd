"""The hand-over between the thread that brings sound and the thread that listens to it.

One writer, one reader, memory that is allocated once. The writer never waits: it claims, copies, publishes.

    claimed    the writer may be writing below this position: what lies a whole ring behind it may be torn
    published  everything below this position has been copied

Each is an integer that only the writer changes. The reader copies first and looks at `claimed` afterwards; where the
writer has claimed over what was copied, the copy is thrown away, counted as an overrun, and the reader goes on at the
newest sound. The order holds because NumPy takes the interpreter's lock again after every copy, before the integer
changes; only the copies themselves, during which NumPy may let that lock go, can overlap.

Positions count the samples that went through the ring. The stream's clock also counts those that the source lost, and
every sample carries that difference, so that a gap sits exactly where it happened, however late it is read.
"""

import contextlib
import threading
import time

import numpy as np

from stream.clock import SAMPLE_RATE
from stream.records import Block, FloatArray, Loss

__all__ = ["RingBuffer"]


class RingBuffer:
    """A ring of mono float32 samples between one writer and one reader.

    Args:
        capacity: samples held, at least 2; how late the reader may be.
        rate: samples a second, passed on with every block.

    Raises:
        ValueError: `capacity` is below 2 or `rate` below 1.

    >>> ring = RingBuffer(8)
    >>> ring.write(np.zeros(3, dtype=np.float32))
    >>> ring.skip(5)
    >>> ring.write(np.ones(2, dtype=np.float32))
    >>> ring.close()
    >>> [(block.start, len(block.samples)) for block in (ring.read(8, 0.0), ring.read(8, 0.0))]
    [(0, 3), (8, 2)]
    >>> ring.ended, str(ring.loss)
    (True, '1 overflows, 0 overruns, 5 samples lost')
    """

    def __init__(self, capacity: int, rate: int = SAMPLE_RATE) -> None:
        if capacity < 2 or rate < 1:
            raise ValueError(f"a ring needs a capacity of at least 2 and a rate of at least 1, got {capacity}, {rate}")
        self.capacity = capacity
        self.rate = rate
        self._samples = np.zeros(capacity, dtype=np.float32)
        self._skipped_before = np.zeros(capacity, dtype=np.int64)  # clock minus position, for each sample
        # A lock used as a binary semaphore, which is what it is made of: the reader sleeps in `acquire`, the writer
        # only ever calls `release`, which never waits. (`threading.Event.set` would take a lock that the reader
        # holds while it gets ready to wait; polling would cost wake-ups or latency; a pipe is no `select` on Windows.)
        self._wake = threading.Lock()
        self._wake.acquire()
        # The writer's alone.
        self._claimed = 0
        self._published = 0
        self._skipped = 0
        self._overflows = 0
        # The reader's alone.
        self._position = 0
        self._overruns = 0
        self._overrun_samples = 0
        # Set once, by whoever ends the stream.
        self._closed = False

    # -- the writer's side ---------------------------------------------------------------------------------------

    def write(self, samples: FloatArray) -> None:
        """Put samples in, without waiting for anybody. After `close` they are dropped.

        Args:
            samples: (n,) mono; copied.
        """
        if self._closed:
            return
        # Half a ring a claim: what was published within the last half ring can be read during any claim.
        step = self.capacity // 2
        for at in range(0, len(samples), step):
            self._write_piece(samples[at : at + step])
        self._set_wake()

    def _write_piece(self, samples: FloatArray) -> None:
        n = len(samples)
        self._claimed = self._published + n
        at = self._published % self.capacity
        head = min(n, self.capacity - at)
        self._samples[at : at + head] = samples[:head]
        self._samples[: n - head] = samples[head:]
        self._skipped_before[at : at + head] = self._skipped
        self._skipped_before[: n - head] = self._skipped
        self._published += n

    def skip(self, samples: int = 0) -> None:
        """Record that the source lost sound just before what is written next.

        Args:
            samples: how many, at the ring's rate: the clock jumps by as much. 0 when nobody knows: only counted.
        """
        self._overflows += 1
        self._skipped += samples

    def close(self) -> None:
        """End the stream, from any thread or signal handler: the reader gets what is left, then None."""
        self._closed = True
        self._set_wake()

    def _set_wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # not held: an earlier wake has not been used yet, and will do
            self._wake.release()

    # -- the reader's side ---------------------------------------------------------------------------------------

    def read(self, max_samples: int, timeout_s: float) -> Block | None:
        """The oldest sound that was not read yet, waiting for some if need be.

        Args:
            max_samples: most samples to return, at least 1. A late reader goes on this much before the newest sample.
            timeout_s: how long to wait, in seconds, at least 0.

        Returns:
            A block without a gap inside, or None: the time is over, or the stream has ended (see `ended`).
        """
        if max_samples < 1:
            raise ValueError(f"a read takes at least 1 sample, got {max_samples}")
        deadline = time.monotonic() + timeout_s
        while True:
            closed = self._closed  # looked at first: what was written before the close is published by now
            block = self._take(max_samples)
            left_s = deadline - time.monotonic()
            if block is not None or closed or left_s <= 0:
                return block
            self._wake.acquire(timeout=min(left_s, threading.TIMEOUT_MAX))

    def _take(self, max_samples: int) -> Block | None:
        while self._published > self._position:
            n = min(self._published - self._position, max_samples, self.capacity)
            at = self._position % self.capacity
            head = min(n, self.capacity - at)
            samples = np.concatenate((self._samples[at : at + head], self._samples[: n - head]))
            skipped = np.concatenate((self._skipped_before[at : at + head], self._skipped_before[: n - head]))
            if self._claimed - self._position > self.capacity:
                self._jump(max_samples)
                continue
            if skipped[0] != skipped[-1]:  # never falls, so equal ends mean no gap inside
                n = int(np.argmax(skipped != skipped[0]))
                samples = samples[:n].copy()
            start = self._position + int(skipped[0])
            self._position += n
            return Block(start, samples, self.rate)
        return None

    def _jump(self, max_samples: int) -> None:
        # Half a ring at most, which no claim that is under way reaches: one jump is enough to be safe.
        newest = self._published - min(max_samples, self.capacity // 2)
        self._overruns += 1
        self._overrun_samples += newest - self._position
        self._position = newest

    @property
    def waiting(self) -> int:
        """Samples that were written and neither read nor lost yet: how late the reader is."""
        return min(self._published - self._position, self.capacity)

    # -- either side ---------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the stream is closed and has been read to its end."""
        return self._closed and self._position >= self._published

    @property
    def loss(self) -> Loss:
        """What was lost so far. Once the stream has ended, samples read and lost add up to its whole length."""
        return Loss(self._overflows, self._overruns, self._skipped + self._overrun_samples)
