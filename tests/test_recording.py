"""Laws of recordings: the sound comes back, lost sound is silence, and what was written outlives the program."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from stream.errors import OutputError, UsageError
from stream.recording import Recorded, Recording, WavRecording, open_recording
from stream.records import Block
from stream.replay import WavReplay
from stream.standard_input import StandardInput
from tests.people import posix
from tests.sound import joined, needs_ffmpeg, noise, one_line
from tests.talk import blocks

ENDINGS = pytest.mark.parametrize("ending", ["wav", "flac"])


def record(path: Path, sound: list[Block], rate: int) -> None:
    with open_recording(path, rate) as recording:
        for block in sound:
            recording.write(block)


def replayed(path: Path) -> np.ndarray:
    """As `replay` hears it, which must find nothing wrong with it."""
    with WavReplay(path, speed=None) as source:
        sound = joined(source.blocks(), source.rate)
        assert source.warning is None
    return sound


@ENDINGS
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 192_000])
def test_the_sound_comes_back_to_the_bit(ending: str, rate: int, tmp_path: Path) -> None:
    sound = noise(rate + 17)[:, 0]
    mixed = noise(rate + 17, channels=2, seed=1).mean(axis=1, dtype=np.float32)  # half steps: more than 16 bits
    for samples in (sound, mixed, np.zeros(rate, np.float32)):
        record(tmp_path / f"x.{ending}", list(blocks(samples, 997, rate=rate)), rate)
        np.testing.assert_array_equal(replayed(tmp_path / f"x.{ending}"), samples)
        assert sf.info(tmp_path / f"x.{ending}").samplerate == rate


def test_wav_keeps_any_float_and_flac_the_nearest_that_it_can(tmp_path: Path) -> None:
    samples = np.random.default_rng(3).normal(0, 0.7, 16_000).astype(np.float32)
    assert np.abs(samples).max() > 1
    for ending in ("wav", "flac"):
        record(tmp_path / f"x.{ending}", [Block(0, samples)], 16_000)
    np.testing.assert_array_equal(replayed(tmp_path / "x.wav"), samples)
    np.testing.assert_allclose(replayed(tmp_path / "x.flac"), samples.clip(-1, 1 - 2**-23), rtol=0, atol=2**-24)


@ENDINGS
def test_lost_sound_is_silence_of_the_same_length(ending: str, tmp_path: Path) -> None:
    samples = noise(3 * 16_000)[:, 0]
    sound = [Block(0, samples[:5_000]), Block(5_001, samples[5_001:9_000]), Block(40_000, samples[40_000:])]
    record(tmp_path / f"x.{ending}", sound, 16_000)
    expected = samples.copy()
    expected[5_000] = 0
    expected[9_000:40_000] = 0
    np.testing.assert_array_equal(replayed(tmp_path / f"x.{ending}"), expected)


@ENDINGS
def test_it_opens_at_every_moment(ending: str, tmp_path: Path) -> None:
    samples = noise(16_000)[:, 0]
    with open_recording(tmp_path / f"x.{ending}", 16_000) as recording:
        for block in blocks(samples, 1_600):
            recording.write(block)
            so_far = block.start + len(block.samples)
            if ending == "wav":
                got = sf.read(tmp_path / "x.wav", dtype="float32")[0]  # a reader that believes the header
                assert len(got) == so_far
            elif so_far > 2 * 4_096:
                got = replayed(tmp_path / "x.flac")
                assert so_far - 4_096 - 1 <= len(got) <= so_far
            else:
                continue
            np.testing.assert_array_equal(got, samples[: len(got)])


def test_a_header_that_is_a_block_late_takes_nothing_away(tmp_path: Path) -> None:
    # Killed between the samples of a block and its header.
    samples = noise(16_000)[:, 0]
    record(tmp_path / "x.wav", [Block(0, samples)], 16_000)
    with (tmp_path / "x.wav").open("ab") as file:
        file.write(noise(1_600, seed=9).tobytes())
    np.testing.assert_array_equal(replayed(tmp_path / "x.wav"), samples)


@ENDINGS
def test_a_killed_program_leaves_the_sound_so_far(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    code = f"""
import numpy as np
from stream.records import Block
from stream.recording import open_recording
recording = open_recording({str(path)!r}, 16000)
at = 0
while True:
    recording.write(Block(at, (np.arange(at, at + 1600) % 1000 / 1024).astype(np.float32)))
    at += 1600
    print(at, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(200)]
        time.sleep(0.05)
        process.kill()
        said += process.stdout.readlines()
    written = int([line for line in said if line.endswith("\n")][-1])
    got = replayed(path)
    assert len(got) >= written - (4_097 if ending == "flac" else 0)
    np.testing.assert_array_equal(got, (np.arange(len(got)) % 1000 / 1024).astype(np.float32))


@posix
@ENDINGS
def test_a_disk_that_fills_up_is_one_line_and_leaves_the_sound_so_far(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
import numpy as np
from stream.errors import OutputError
from stream.records import Block
from stream.recording import open_recording
sound = (np.random.default_rng(0).integers(-2**15, 2**15, 160_000) / 2**15).astype(np.float32)
try:
    with open_recording({str(path)!r}, 16000) as recording:
        for at in range(0, 160_000, 1600):
            recording.write(Block(at, sound[at:at + 1600]))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"cannot write to {path}: ")
    assert done.stdout.endswith(" s before are whole\n")
    assert done.stdout.count("\n") == 1
    told = float(done.stdout.rpartition("the ")[2].split()[0])
    got = replayed(path)
    assert len(got) / 16_000 == pytest.approx(told, abs=0.06 if ending == "wav" else 0.4)
    assert len(got) > 70_000
    whole = (np.random.default_rng(0).integers(-(2**15), 2**15, 160_000) / 2**15).astype(np.float32)
    np.testing.assert_allclose(got, whole[: len(got)], rtol=0, atol=2e-7)


@posix
def test_beyond_four_gigabytes_it_is_rf64(tmp_path: Path) -> None:
    path, before = tmp_path / "long.wav", 2**30
    with WavRecording(path, 16_000) as recording:
        with path.open("r+b") as file:
            file.truncate(94 + 4 * before)  # eighteen hours of silence that take no space
        recording.samples = before
        recording.write(Block(before, noise(1_600)[:, 0]))
    assert path.stat().st_size > 2**32
    with path.open("rb") as file:
        assert file.read(4) == b"RF64"
    with sf.SoundFile(path) as file:
        assert (file.frames, file.samplerate, file.channels) == (before + 1_600, 16_000, 1)
        file.seek(before)
        np.testing.assert_array_equal(file.read(dtype="float32"), noise(1_600)[:, 0])
    with WavReplay(path, speed=None) as source:
        assert not next(source.blocks()).samples.any()


def test_a_wav_recording_can_be_piped(tmp_path: Path) -> None:
    samples = noise(16_000)[:, 0]
    record(tmp_path / "x.wav", [Block(0, samples)], 16_000)
    with (tmp_path / "x.wav").open("rb") as file:
        np.testing.assert_array_equal(joined(StandardInput(file).blocks(), 16_000), samples)


@needs_ffmpeg
@ENDINGS
def test_ffmpeg_finds_nothing_wrong_with_it(ending: str, tmp_path: Path) -> None:
    samples = noise(48_000)[:, 0]
    record(tmp_path / f"x.{ending}", list(blocks(samples, 4_800, rate=48_000)), 48_000)
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(tmp_path / f"x.{ending}"), "-f", "f32le", "-"], capture_output=True
    )
    assert b"rror" not in done.stderr
    assert b"nvalid" not in done.stderr
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32), samples)


def test_a_night_without_sound_costs_no_time_and_no_space(tmp_path: Path) -> None:
    path, night = tmp_path / "x.wav", 8 * 3_600 * 16_000
    with open_recording(path, 16_000) as recording:
        recording.write(Block(0, np.ones(1_600, np.float32)))
        recording.write(Block(night, np.ones(1_600, np.float32)))
    if hasattr(path.stat(), "st_blocks"):
        assert path.stat().st_blocks * 512 < 1e6 < path.stat().st_size
    with sf.SoundFile(path) as file:
        assert file.frames == night + 1_600
        file.seek(night - 800)
        np.testing.assert_array_equal(file.read(1_600), np.repeat([0.0, 1.0], 800))


class Given:
    """A source that is a list."""

    name, rate, latency_samples, loss, lag_samples = "list", 16_000, 7, "lost", 9

    def __init__(self, sound: list[Block]) -> None:
        self.sound, self.calls = sound, []

    def blocks(self):
        yield from self.sound

    def stop(self) -> None:
        self.calls.append("stop")

    def __enter__(self):
        self.calls.append("enter")
        return self

    def __exit__(self, *_) -> None:
        self.calls.append("exit")


def test_a_recorded_source_is_the_source(tmp_path: Path) -> None:
    sound = list(blocks(noise(16_000)[:, 0], 1_600))
    given = Given(sound)
    with open_recording(tmp_path / "x.wav", 16_000) as recording, Recorded(given, recording) as source:
        assert (source.name, source.rate, source.latency_samples) == ("list", 16_000, 7)
        assert (source.loss, source.lag_samples) == ("lost", 9)
        for count, block in enumerate(source.blocks(), 1):
            assert block is sound[count - 1]
            assert recording.samples == 1_600 * count  # before anybody has it
        source.stop()
    assert given.calls == ["enter", "stop", "exit"]


@pytest.mark.parametrize("name", ["x.mp3", "x", "-", "wav", ".flac"])
def test_the_ending_says_the_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.wav or \.flac, got .*; rename it$") as caught:
        open_recording(tmp_path / name, 16_000)
    assert one_line(caught)
    assert list(tmp_path.iterdir()) == []
    open_recording(tmp_path / "X.WAV", 16_000).close()


@ENDINGS
def test_a_path_that_cannot_be_written_fails_at_once(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"x.{ending}").mkdir()
    for path in (tmp_path / f"x.{ending}", tmp_path / "no" / f"x.{ending}"):
        with pytest.raises(OutputError, match=r"^cannot write to .*; give a path in a folder that is yours$"):
            open_recording(path, 16_000)


def test_closing_again_does_nothing(tmp_path: Path) -> None:
    for ending in ("wav", "flac"):
        recording: Recording = open_recording(tmp_path / f"x.{ending}", 16_000)
        recording.write(Block(0, noise(16_000)[:, 0]))
        recording.close()
        recording.close()
        assert len(replayed(tmp_path / f"x.{ending}")) == 16_000
