"""Files: every way in gives the file's samples, memory stays flat, bad input says what to do."""

import itertools
import os
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from stream.errors import FileError, UsageError
from stream.records import Block, Loss
from stream.replay import WavReplay, open_source
from tests.sound import joined, needs_ffmpeg, noise, one_line


def replayed(path: Path, speed: float | None = None) -> np.ndarray:
    with WavReplay(path, speed=speed) as source:
        samples = joined(source.blocks(), source.rate)
        assert source.warning is None
        assert source.loss == Loss()
        assert source.latency_samples == 0
    return samples


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus"])
def test_the_same_samples_at_every_speed(tmp_path, suffix):
    path = tmp_path / f"voice.{suffix}"
    rate = 16_000
    made = noise(rate + 123, 2)
    sf.write(path, made, rate, **({"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}))
    whole, rate = sf.read(path, dtype="float32", always_2d=True)
    expected = whole.mean(axis=1)
    if suffix in ("wav", "flac"):
        np.testing.assert_array_equal(whole, made)
    fast = replayed(path, None)
    # soundfile seeks between reads, which changes the last bits of MP3; we do not.
    np.testing.assert_allclose(fast, expected, rtol=0, atol=2e-7 if suffix == "mp3" else 0)
    for speed in (20, 1_000.0):
        np.testing.assert_array_equal(replayed(path, speed), fast)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 3), (48_000, 2), (192_000, 1)])
def test_any_rate_and_any_channels(tmp_path, rate, channels):
    path = tmp_path / "voice.wav"
    made = noise(rate // 2, channels)
    sf.write(path, made, rate)
    np.testing.assert_allclose(replayed(path), made.mean(axis=1), atol=1e-7)


def test_paced_sound_takes_its_time_and_does_not_drift(tmp_path):
    path = tmp_path / "voice.wav"
    sf.write(path, noise(16_000 * 10), 16_000)
    with WavReplay(path, speed=20) as source:
        began = time.monotonic()
        late = []
        for block in source.blocks():
            due = (block.start + len(block.samples)) / 16_000 / 20
            late.append(time.monotonic() - began - due)
    assert min(late) >= 0  # never before a microphone could have heard it
    # Each of 100 sleeps is late by 0.1 ms and more; if that added up, all of the last blocks would be late by 7 ms and
    # more. One that is not is enough, however busy the machine.
    assert min(late[-30:]) - min(late[:30]) < 0.005
    print(f"blocks late by {1e3 * np.median(late):.1f} ms (median), {1e3 * max(late):.1f} ms (most)")


def test_a_late_reader_loses_nothing(tmp_path):
    path = tmp_path / "voice.wav"
    made = noise(8_000 * 30)
    sf.write(path, made, 8_000)
    with WavReplay(path, speed=1_000.0) as source:
        blocks = source.blocks()
        first = next(blocks)
        time.sleep(0.3)  # the 2 s of the ring are full many times over
        rest = np.concatenate([block.samples for block in blocks])
        assert source.loss == Loss()
    np.testing.assert_array_equal(np.concatenate([first.samples, rest]), made[:, 0])


@pytest.mark.parametrize("speed", [None, 1.0, 0.01])
def test_stop_ends_it_from_another_thread(tmp_path, speed):
    path = tmp_path / "voice.wav"
    sf.write(path, np.zeros((16_000 * 3600, 1), np.int16), 16_000)
    with WavReplay(path, speed=speed) as source:
        timer = threading.Timer(0.2, source.stop)
        timer.start()
        began = time.monotonic()
        heard = sum(len(block.samples) for block in source.blocks())
        took = time.monotonic() - began
        timer.join()
    assert heard < 16_000 * 3600
    assert took < 2
    assert list(source.blocks()) == []


def test_leaving_early_ends_the_pacing_thread(tmp_path):
    path = tmp_path / "voice.wav"
    sf.write(path, noise(16_000 * 10), 16_000)
    before = threading.active_count()
    with WavReplay(path, speed=100) as source:
        blocks = source.blocks()
        next(blocks)
    assert threading.active_count() == before


def test_three_gigabytes_are_streamed(tmp_path):
    path = tmp_path / "long.wav"
    size = 3 * 10**9
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", size
    )
    head = noise(16_000 * 5)[:, 0]
    with path.open("wb") as file:
        file.write(header)
        file.write((head * 32_768).astype("<i2").tobytes())
        file.truncate(len(header) + size)  # sparse: takes no space
    tracemalloc.start()
    resident = resident_bytes()
    with WavReplay(path, speed=None) as source:
        blocks = source.blocks()
        heard = np.concatenate([next(blocks).samples for _ in range(50)])
        minutes, peaks = 0, []
        for _ in range(2):  # a table that cffi or the interpreter enlarges now and then (2 MB once) hits one at most
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            minutes += sum(len(block.samples) for block in itertools.islice(blocks, 6_000))  # 19 MB of 16-bit samples
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
        peak = min(peaks)
        grown = resident_bytes() - resident
    tracemalloc.stop()
    np.testing.assert_array_equal(heard, head)
    assert minutes == 2 * 6_000 * 1_600
    assert source.warning is None
    print(f"20 minutes of a 3 GB file: {peak / 1e3:.0f} kB traced, {grown / 1e6:.1f} MB resident")
    assert peak < 1e6
    assert grown < 10e6


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


# -- damaged files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "says"),
    [
        ("wav", "is cut off"),
        ("aiff", "is cut off"),
        ("flac", "is damaged"),
        ("ogg", "no end mark"),
        ("mp3", "is cut off"),
    ],
)
@pytest.mark.parametrize("speed", [None, 200.0])
def test_what_is_there_of_a_truncated_file_is_replayed(tmp_path, capfd, suffix, says, speed):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    sf.write(whole, noise(16_000 * 4), 16_000)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    expected = sf.read(whole, dtype="float32")[0]
    with WavReplay(cut, speed=speed) as source:
        samples = joined(source.blocks(), 16_000)
    assert 8_000 < len(samples) < 16_000 * 3
    # The decoder's last words may differ where a packet is cut through.
    sure = len(samples) - 4_096
    np.testing.assert_allclose(samples[:sure], expected[:sure], atol=1e-6)
    assert says in source.warning
    assert "\n" not in source.warning
    capfd.readouterr()  # mpg123 talks about it on standard error


@pytest.mark.parametrize("speed", [None, 200.0])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_value_that_is_no_sound_is_refused_with_its_place(tmp_path, speed, value):
    path = tmp_path / "float.wav"
    made = noise(16_000, 2)
    made[12_345, 1] = value
    sf.write(path, made, 16_000, subtype="FLOAT")
    heard: list[Block] = []
    with WavReplay(path, speed=speed) as source, pytest.raises(FileError, match="sample 12345 ") as error:
        heard.extend(source.blocks())
    assert "0.772 s" in one_line(error)
    assert sum(len(block.samples) for block in heard) == 11_200  # what comes before has been given


def test_bad_files_say_what_to_do(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound\n" * 100)
    (tmp_path / "bare.raw").write_bytes(bytes(100))
    sf.write(tmp_path / "none.wav", np.zeros((0, 1)), 16_000)
    sf.write(tmp_path / "slow.wav", np.zeros(100), 4_000)
    for name, says in {
        "missing.wav": "No such file.*check the path",
        "two\nlines.wav": "No such file",
        "zero\0byte.wav": "null (byte|character)",
        ".": "folder",
        "empty.wav": r"empty \(0 bytes\)",
        "text.wav": "not sound that can be read.*ffmpeg",
        "bare.raw": "not sound that can be read.*ffmpeg",
        "none.wav": "no sound",
        "slow.wav": "8000 to 192000.*got 4000",
    }.items():
        with pytest.raises(FileError, match=says) as error:
            WavReplay(tmp_path / name)
        one_line(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_named_pipe_is_refused_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    with pytest.raises(FileError, match=r"is a pipe or a device.*replay - <"):
        WavReplay(tmp_path / "pipe")


@pytest.mark.parametrize("speed", [0, -1.0, float("nan"), float("inf")])
def test_speeds_that_cannot_be_are_refused(tmp_path, speed):
    for path in (tmp_path / "missing.wav", "-"):
        with pytest.raises(UsageError, match="--speed") as error:
            open_source(path, speed)
        one_line(error)


def test_a_file_of_a_pipe_is_whole(tmp_path):
    # A header that promises 4 GiB because its writer could not know better is no damage.
    path = tmp_path / "pipe.wav"
    sf.write(path, noise(16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[40:44] = data[4:8] = b"\xff" * 4
    path.write_bytes(data)
    np.testing.assert_array_equal(replayed(path), noise(16_000)[:, 0])


@needs_ffmpeg
def test_a_flac_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path):
    wav, flac = tmp_path / "voice.wav", tmp_path / "pipe.flac"
    sf.write(wav, noise(16_000), 16_000)
    piped = subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-f", "flac", "-"], stdout=subprocess.PIPE, check=True)
    flac.write_bytes(piped.stdout)
    np.testing.assert_array_equal(replayed(flac), noise(16_000)[:, 0])


# -- the source that a path means -----------------------------------------------------------------------------------


LISTEN = """
from stream.errors import LivespeakerError
from stream.replay import open_source
try:
    with open_source("-") as source:
        print(source.rate, sum(len(block.samples) for block in source.blocks()))
except LivespeakerError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("redirect", "says"),
    [
        ("< voice.wav", "16000 1000"),
        ("<&-", "FileError standard input is closed"),
        ("< /dev/null", "FileError nothing came"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="redirected by a POSIX shell")
def test_open_source_knows_standard_input(tmp_path, redirect, says):
    sf.write(tmp_path / "voice.wav", noise(1_000), 16_000)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, LISTEN]
    out = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert out.stdout.startswith(says), out.stderr
    assert out.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
def test_a_keyboard_is_not_listened_to(tmp_path):
    keyboard, terminal = os.openpty()
    try:
        out = subprocess.run([sys.executable, "-c", LISTEN], stdin=terminal, capture_output=True, text=True, check=True)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert out.stdout.startswith("UsageError standard input is a keyboard")


def test_open_source_knows_files(tmp_path):
    sf.write(tmp_path / "voice.wav", noise(1_000), 16_000)
    with open_source(str(tmp_path / "voice.wav"), None) as source:
        assert source.name == "voice.wav"
        assert len(joined(source.blocks(), 16_000)) == 1_000
