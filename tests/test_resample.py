"""Resampling: streamed equals whole, tones keep their pitch and time, gaps stay gaps, the stated latency holds."""

import itertools

import numpy as np
import pytest
import soxr

from stream.errors import UsageError
from stream.records import Block
from stream.resample import Resampler
from tests.parity import assert_streams_alike, run, split_block

RATES = [8_000, 11_025, 44_100, 48_000]


def noise(rate: int, seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(rate * seconds))).astype(np.float32)


def tone(rate: int, hz: float, seconds: float) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def gather(blocks: list[Block]) -> dict[str, np.ndarray]:
    for before, after in itertools.pairwise(blocks):
        assert after.start == before.start + len(before.samples)
    assert all(block.rate == 16_000 for block in blocks)
    return {
        "start": np.array([blocks[0].start if blocks else -1]),
        "samples": np.concatenate([block.samples for block in blocks]) if blocks else np.zeros(0, np.float32),
    }


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    return gather(run(Resampler(rate), [Block(0, samples, rate)]))["samples"]


@pytest.mark.parametrize("rate", [*RATES, 16_000])
def test_piece_size_does_not_matter_and_all_equals_the_whole(rate):
    # Bit for bit, with soxr 1.1: the tolerance is zero.
    block = Block(0, noise(rate, 1.0), rate)
    whole = assert_streams_alike(
        lambda: Resampler(rate),
        lambda sizes: split_block(block, sizes),
        len(block.samples),
        hop=rate // 10,
        gather=gather,
        atol=0.0,
        rtol=0.0,
    )
    assert whole["samples"].dtype == np.float32
    assert abs(len(whole["samples"]) - 16_000) <= 1
    np.testing.assert_array_equal(whole["samples"], soxr.resample(block.samples, rate, 16_000))


def test_sixteen_kilohertz_passes_through_untouched():
    block = Block(160, noise(16_000, 0.1))
    resampler = Resampler(16_000)
    assert resampler.push(block) == [block]
    assert resampler.flush() == []
    assert resampler.latency_samples == 0


def test_a_tone_keeps_pitch_amplitude_and_phase():
    out = resampled(tone(48_000, 1_000, 2.0), 48_000)
    # Away from the edges, where the tone starts and stops at once.
    np.testing.assert_allclose(out[1_600:-1_600], tone(16_000, 1_000, 2.0)[1_600:-1_600], atol=1e-5)


def test_what_16_khz_cannot_hold_is_gone():
    out = resampled(tone(48_000, 10_000, 2.0), 48_000)[1_600:-1_600]
    level_db = 20 * np.log10(np.sqrt(np.mean(out.astype(float) ** 2)) / (0.5 / np.sqrt(2)))
    print(f"10 kHz at 48 kHz: {level_db:.0f} dB")
    assert level_db < -80


@pytest.mark.parametrize("rate", RATES)
def test_an_impulse_keeps_its_time(rate):
    samples = np.zeros(rate, np.float32)
    samples[rate // 2] = 1.0
    peak = int(np.argmax(np.abs(resampled(samples, rate))))
    assert abs(peak - rate // 2 * 16_000 / rate) <= 1


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_001, 44_100, 48_000, 96_000, 192_000])
def test_no_more_is_held_back_than_stated(rate):
    # 20 s in pieces that no block inside soxr is a multiple of; the amount does not depend on the samples.
    resampler = Resampler(rate)
    piece = np.zeros(37, np.float32)
    held = []
    given = 0
    for start in range(0, 20 * rate, len(piece)):
        given += sum(len(block.samples) for block in resampler.push(Block(start, piece, rate)))
        held.append((start + len(piece)) * 16_000 / rate - given)
    print(f"{rate} Hz: at most {max(held):.0f} held back, {resampler.latency_samples} stated")
    assert max(held) <= resampler.latency_samples <= max(held) + 40
    assert min(held) > -1  # nothing is given before it came


def test_the_first_block_sets_the_clock():
    block = Block(44_101, noise(44_100, 0.5), 44_100)
    assert run(Resampler(44_100), [block])[0].start == 16_000


def test_a_gap_stays_a_gap_and_each_side_is_resampled_alone():
    before, after = noise(48_000, 0.5, seed=1), noise(48_000, 0.7, seed=2)
    blocks = run(Resampler(48_000), [Block(0, before, 48_000), Block(96_000, after, 48_000)])
    left = gather([block for block in blocks if block.start < 32_000])["samples"]
    right = gather([block for block in blocks if block.start >= 32_000])
    np.testing.assert_array_equal(left, soxr.resample(before, 48_000, 16_000))
    np.testing.assert_array_equal(right["samples"], soxr.resample(after, 48_000, 16_000))
    assert right["start"] == [32_000]


def test_a_gap_of_one_sample_is_not_rounded_away():
    blocks = run(Resampler(48_000), [Block(0, noise(48_000, 0.5), 48_000), Block(24_001, noise(48_000, 0.5), 48_000)])
    ends = [block.start + len(block.samples) for block in blocks]
    starts = [block.start for block in blocks]
    assert sum(start != end for end, start in zip(ends, starts[1:], strict=False)) == 1
    assert all(start >= end for end, start in zip(ends, starts[1:], strict=False))


def test_no_samples_give_no_blocks():
    resampler = Resampler(48_000)
    assert resampler.push(Block(0, np.zeros(0, np.float32), 48_000)) == []
    assert resampler.flush() == []
    assert Resampler(48_000).flush() == []


@pytest.mark.parametrize("rate", [0, -1, 7_999, 192_001])
def test_rates_that_cannot_be_are_refused(rate):
    with pytest.raises(UsageError, match=rf"8000 to 192000.*got {rate}"):
        Resampler(rate)


@pytest.mark.parametrize(
    "block", [Block(0, np.zeros(9, np.float32), 44_100), Block(5, np.zeros(9, np.float32), 48_000)]
)
def test_blocks_of_another_source_are_refused(block):
    resampler = Resampler(48_000)
    resampler.push(Block(0, np.zeros(10, np.float32), 48_000))
    with pytest.raises(UsageError, match="got one at"):
        resampler.push(block)
