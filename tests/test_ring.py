"""The ring: nothing out of order, nothing torn, every loss counted, and a writer that never waits."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from stream.records import Block, Loss
from stream.ring import RingBuffer


def numbers(start: int, n: int) -> np.ndarray:
    """Samples that say where they are on the clock, exactly: float32 holds every integer below 2**24."""
    return np.arange(start, start + n).astype(np.float32)


def assert_true_to_the_clock(blocks: list[Block]) -> None:
    end = 0
    for block in blocks:
        assert block.start >= end
        np.testing.assert_array_equal(block.samples, numbers(block.start, len(block.samples)))
        end = block.start + len(block.samples)


def drain(ring: RingBuffer, max_samples: int) -> list[Block]:
    return list(iter(lambda: ring.read(max_samples, 0.0), None))


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16])
def test_what_is_read_in_time_is_what_was_written(size: int) -> None:
    ring, blocks = RingBuffer(16, rate=8_000), []
    for start in range(0, 20 * size, size):
        ring.write(numbers(start, size))
        blocks += drain(ring, 5)
    assert_true_to_the_clock(blocks)
    assert sum(len(block.samples) for block in blocks) == 20 * size
    assert {block.rate for block in blocks} == {8_000}
    assert ring.loss == Loss()
    assert not ring.loss


def test_a_block_is_the_readers_own() -> None:
    ring = RingBuffer(4)
    given = numbers(0, 4)
    ring.write(given)
    given[:] = -1
    block = ring.read(4, 0.0)
    ring.write(-numbers(0, 4))
    assert block is not None
    assert block.samples.dtype == np.float32
    np.testing.assert_array_equal(block.samples, [0, 1, 2, 3])


def test_a_lapped_reader_goes_on_at_the_newest_sound_and_the_gap_shows() -> None:
    ring = RingBuffer(100)
    ring.write(numbers(0, 10))
    assert ring.read(10, 0.0) is not None
    for start in range(10, 1_010, 50):
        ring.write(numbers(start, 50))
    (block,) = drain(ring, 20)
    assert block.start == 990
    assert ring.loss == Loss(overruns=1, samples=980)
    assert_true_to_the_clock([block])


def test_a_full_ring_is_not_an_overrun() -> None:
    ring = RingBuffer(100)
    ring.write(numbers(0, 60))
    ring.write(numbers(60, 40))
    (block,) = drain(ring, 100)
    assert len(block.samples) == 100
    assert not ring.loss


def test_a_write_longer_than_the_ring_keeps_the_newest() -> None:
    ring = RingBuffer(9)
    ring.write(numbers(0, 1_000))
    blocks = drain(ring, 3)
    assert_true_to_the_clock(blocks)
    assert blocks[-1].start + len(blocks[-1].samples) == 1_000
    assert ring.loss.overruns == 1
    assert sum(len(block.samples) for block in blocks) + ring.loss.samples == 1_000


@pytest.mark.parametrize("written", [80, 90])
def test_a_copy_over_which_the_writer_came_is_thrown_away_and_the_writer_does_not_wait(
    monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    # The writer strikes in the middle of the reader's copy, on the reader's own thread: a lock that both need would
    # stop this test for ever. 80 samples more just fit behind the 20 that are being copied; 90 do not.
    ring = RingBuffer(100)
    ring.write(numbers(0, 20))
    concatenate = np.concatenate

    def interrupted(pieces: tuple[np.ndarray, ...]) -> np.ndarray:
        monkeypatch.setattr(np, "concatenate", concatenate)
        ring.write(numbers(20, written))
        return concatenate(pieces)

    monkeypatch.setattr(np, "concatenate", interrupted)
    block = ring.read(20, 0.0)
    assert block is not None
    assert_true_to_the_clock([block])
    assert block.start == (0 if written == 80 else 90)
    assert ring.loss == (Loss() if written == 80 else Loss(overruns=1, samples=90))


class Nosy(np.ndarray):
    """Samples during whose copying something else happens."""

    meanwhile: Callable[[], None]

    def __getitem__(self, key: Any) -> Any:
        self.meanwhile()
        part = super().__getitem__(key)
        part.meanwhile = self.meanwhile
        return part


@pytest.mark.parametrize("largest", [5, 49, 51, 99, 100, 101, 250])
def test_reading_in_the_middle_of_a_write_gives_nothing_torn(largest: int) -> None:
    random = np.random.default_rng(largest)
    sizes = random.integers(1, largest, size=500, endpoint=True).tolist()
    wanted = iter((random.integers(1, 120, size=10_000) * (random.random(10_000) < 0.5)).tolist())
    ring, blocks, start = RingBuffer(100), [], 0

    def read() -> None:
        max_samples = next(wanted)
        block = ring.read(max_samples, 0.0) if max_samples else None
        if block is not None:
            blocks.append(block)

    for size in sizes:
        samples = numbers(start, size).view(Nosy)
        samples.meanwhile = read
        ring.write(samples)
        start += size
    blocks += drain(ring, 100)
    assert_true_to_the_clock(blocks)
    assert sum(len(block.samples) for block in blocks) + ring.loss.samples == start


def test_sound_that_the_source_lost_is_a_gap_where_it_was_lost() -> None:
    ring = RingBuffer(100)
    ring.skip(7)
    ring.write(numbers(7, 10))
    ring.skip(3)
    ring.skip()
    ring.write(numbers(20, 10))
    ring.skip()  # how much is not known: counted, and the clock goes on
    ring.write(numbers(30, 10))
    blocks = drain(ring, 100)
    assert [(block.start, len(block.samples)) for block in blocks] == [(7, 10), (20, 20)]
    assert_true_to_the_clock(blocks)
    assert ring.loss == Loss(overflows=4, samples=10)


def test_the_clock_stays_true_when_losses_are_themselves_overrun() -> None:
    ring = RingBuffer(64)
    start = 0
    for _ in range(100):
        ring.skip(5)
        ring.write(numbers(start + 5, 10))
        start += 15
    blocks = drain(ring, 64)
    assert_true_to_the_clock(blocks)
    assert blocks[-1].start + len(blocks[-1].samples) == start
    assert sum(len(block.samples) for block in blocks) + ring.loss.samples == start


def test_the_end_comes_after_everything_that_was_written() -> None:
    ring = RingBuffer(10)
    ring.write(numbers(0, 4))
    ring.close()
    ring.write(numbers(4, 4))  # too late
    assert not ring.ended
    block = ring.read(10, 60.0)
    assert block is not None
    assert len(block.samples) == 4
    assert ring.ended
    assert ring.read(10, 60.0) is None  # at once: nothing can come any more
    ring.close()


def test_what_comes_together_with_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, calls = RingBuffer(10), []

    def monotonic() -> float:
        calls.append(0)
        if len(calls) == 2:  # the reader has just found nothing, and asks for how long to wait
            ring.write(numbers(0, 4))
            ring.close()
        return 0.0

    monkeypatch.setattr(time, "monotonic", monotonic)
    block = ring.read(10, 60.0)
    assert block is not None
    assert len(block.samples) == 4


def test_a_reader_sleeps_until_something_comes() -> None:
    ring = RingBuffer(10)
    cpu_s, begin_s = time.thread_time(), time.monotonic()
    assert ring.read(1, 0.5) is None
    assert time.monotonic() - begin_s >= 0.5
    assert time.thread_time() - cpu_s < 0.05
    assert not ring.ended
    for wake in (lambda: ring.write(numbers(0, 1)), ring.close):
        timer = threading.Timer(0.05, wake)
        timer.start()
        begin_s = time.monotonic()
        got = ring.read(1, 60.0)
        assert time.monotonic() - begin_s < 30
        assert (got is None) == ring.ended
        timer.join()


@pytest.mark.parametrize(("capacity", "rate"), [(1, 16_000), (0, 16_000), (16, 0)])
def test_a_ring_that_cannot_be_is_refused(capacity: int, rate: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        RingBuffer(capacity, rate)


def test_a_read_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RingBuffer(2).read(0, 0.0)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as the interpreter allows."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


# From some 500 samples on NumPy gives up the interpreter's lock while it copies, so that copies overlap for real.
@pytest.mark.parametrize(
    ("capacity", "piece", "paced"), [(97, 60, False), (20_000, 12_000, False), (20_000, 400, True)], ids=str
)
def test_threads_at_full_speed_lose_nothing_that_is_not_counted(
    hasty: None, capacity: int, piece: int, paced: bool
) -> None:
    random = np.random.default_rng(capacity)
    written = random.integers(1, piece, size=1_000)
    skipped = np.where(random.random(1_000) < 0.1, random.integers(0, 50, size=1_000), -1)  # -1: no overflow
    wanted = random.integers(1, piece, size=1_000)
    total = int(written.sum() + skipped.clip(0).sum())
    assert total < 2**24  # see `numbers`
    ring = RingBuffer(capacity)
    everything = numbers(0, total)

    def write() -> None:
        clock = 0
        for n, lost in zip(written.tolist(), skipped.tolist(), strict=True):
            if lost >= 0:
                ring.skip(lost)
                clock += lost
            ring.write(everything[clock : clock + n])
            clock += n
            if paced:
                time.sleep(0.0005)
        ring.close()

    writer = threading.Thread(target=write)
    writer.start()
    blocks: list[Block] = []
    while not ring.ended:
        block = ring.read(int(wanted[len(blocks) % 1_000]), 60.0)
        if block is not None:
            blocks.append(block)
    writer.join()
    assert_true_to_the_clock(blocks)
    assert sum(len(block.samples) for block in blocks) + ring.loss.samples == total
    assert ring.loss.overflows == np.count_nonzero(skipped >= 0)
    if paced:
        assert ring.loss.samples == skipped.clip(0).sum()
    else:
        assert ring.loss.overruns > 0
