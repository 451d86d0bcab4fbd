"""A source that is paused and recorded while it is heard: what comes through is the source's sound, in order."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile as sf

from stream.recent import KEPT_S, Recent
from stream.records import Block, Notice, Turn
from stream.replay import WavReplay
from stream.steered import Steered
from tests.test_session import Heard

RATE = 16_000
NOISE = np.random.default_rng(5).standard_normal(20 * 1_600).astype(np.float32) * 0.1
BLOCKS = [Block(at, NOISE[at : at + 1_600]) for at in range(0, len(NOISE), 1_600)]


def listen(steered: Steered, at: dict[int, Callable[[], None]]) -> list[Block | Notice]:
    """All that comes, doing something before the block of that number is asked for."""
    heard: list[Block | Notice] = []
    for each in steered.blocks():
        heard.append(each)
        at.get(len(heard), lambda: None)()
    return heard


class Going(Heard):
    """A microphone: it goes on while nobody wants to hear it, and a pause ends by itself."""

    def __init__(self, pause: range) -> None:
        super().__init__(BLOCKS)
        self.pause = pause
        self.steered = Steered(self)

    def blocks(self) -> Iterator[Block]:
        for number, block in enumerate(super().blocks()):
            self.steered.pause(number in self.pause)
            yield block


def test_a_pause_leaves_out_sound_and_no_time() -> None:
    heard = listen(Going(range(5, 9)).steered, {})
    blocks = [each for each in heard if isinstance(each, Block)]
    assert [each.text for each in heard if isinstance(each, Notice)] == ["paused", "listening again"]
    assert [block.start for block in blocks] == [1_600 * i for i in range(16)]
    assert [float(block.samples[0]) for block in blocks] == [
        float(block.samples[0]) for i, block in enumerate(BLOCKS) if not 5 <= i < 9
    ]


def test_a_file_waits_while_it_is_paused_and_nothing_of_it_is_missing(tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", NOISE, RATE, subtype="FLOAT")
    for speed in (8.0, None):
        source = WavReplay(tmp_path / "talk.wav", speed=speed)
        steered = Steered(source)
        seen_in_pause = []

        def go_on(steered: Steered = steered, seen: list[int] = seen_in_pause) -> None:
            time.sleep(0.4)
            seen.append(steered._end)
            time.sleep(0.4)
            seen.append(steered._end)
            steered.pause(False)

        helper = Thread(target=go_on)

        def hold(steered: Steered = steered, helper: Thread = helper) -> None:
            steered.pause(True)
            helper.start()

        with steered:
            heard = listen(steered, {4: hold})
        helper.join()
        assert seen_in_pause[0] == seen_in_pause[1]
        blocks = [each for each in heard if isinstance(each, Block)]
        assert np.array_equal(np.concatenate([block.samples for block in blocks]), NOISE)
        assert all(a.start + len(a.samples) == b.start for a, b in pairwise(blocks))


def test_a_pause_can_be_ended_by_the_end(tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", NOISE, RATE, subtype="FLOAT")
    with Steered(WavReplay(tmp_path / "talk.wav", speed=8.0)) as steered:
        stopper = Thread(target=lambda: (time.sleep(0.5), steered.stop()))

        def hold() -> None:
            steered.pause(True)
            stopper.start()

        listen(steered, {4: hold})
        stopper.join()


def test_a_recording_holds_what_is_heard_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    with Steered(Heard(BLOCKS)) as steered:
        listen(
            steered,
            {3: lambda: steered.record(first), 8: steered.end_recording, 12: lambda: steered.record(second)},
        )
    assert np.array_equal(sf.read(first, dtype="float32")[0], NOISE[3 * 1_600 : 8 * 1_600])
    assert np.array_equal(sf.read(second, dtype="float32")[0], NOISE[12 * 1_600 :])
    assert steered.recorded == [str(first), str(second)]
    assert not steered.recording


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_recording_that_fails_is_told_and_the_session_goes_on(tmp_path: Path) -> None:
    problems: list[str] = []
    with Steered(Heard(BLOCKS)) as steered:
        steered.on_problem = problems.append

        def record() -> None:
            steered.record(tmp_path / "a.wav")
            steered._recording._file.close()
            steered._recording._file._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the disk is full now

        assert len(listen(steered, {2: record})) == 20
        assert not steered.recording
    (problem,) = problems
    assert "a.wav" in problem
    assert "no space left" in problem


def test_the_last_minute_is_kept_and_no_more() -> None:
    recent = Recent(RATE)
    for start in range(0, 90 * RATE, 1_600):
        recent.push(Block(start, np.full(1_600, start, np.float32)))
    everything = recent.cut([Turn(0, 100 * RATE, "Ann", 0.9, final=True)])
    assert sum(len(block.samples) for block in everything) == KEPT_S * RATE
    assert everything[0].start == 30 * RATE


def test_turns_are_cut_out_at_the_rate_of_the_source() -> None:
    recent = Recent(48_000)
    for start in range(0, 48_000 * 4, 4_800):
        recent.push(Block(start, np.arange(start, start + 4_800, dtype=np.float32), 48_000))
    pieces = recent.cut(
        [Turn(RATE, 2 * RATE, "Ann", 0.9, final=True), Turn(3 * RATE, 9 * RATE, "Ann", 0.9, final=False)]
    )
    samples = np.concatenate([block.samples for block in pieces])
    assert np.array_equal(samples, [*range(48_000, 96_000), *range(144_000, 192_000)])
    assert {block.rate for block in pieces} == {48_000}
    assert [block.start for block in pieces] == [int(block.samples[0]) for block in pieces]
