"""Files and standard input: every way in gives the file's samples, memory stays flat, bad input says what to do."""

import io
import itertools
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from stream.errors import FileError, UsageError
from stream.records import Block, Loss
from stream.replay import StandardInput, WavReplay, open_source

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


def replayed(path: Path, speed: float | None = None) -> np.ndarray:
    with WavReplay(path, speed=speed) as source:
        samples = joined(source.blocks(), source.rate)
        assert source.warning is None
        assert source.loss == Loss()
        assert source.latency_samples == 0
    return samples


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


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
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        minutes = sum(len(block.samples) for block in itertools.islice(blocks, 6_000))  # 19 MB of 16-bit samples
        peak = tracemalloc.get_traced_memory()[1] - before
        grown = resident_bytes() - resident
    tracemalloc.stop()
    np.testing.assert_array_equal(heard, head)
    assert minutes == 6_000 * 1_600
    assert source.warning is None
    print(f"10 minutes of a 3 GB file: {peak / 1e3:.0f} kB traced, {grown / 1e6:.1f} MB resident")
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
        "zero\0byte.wav": "null byte",
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
    flac.write_bytes(ffmpeg(wav, "-f", "flac", "-"))
    np.testing.assert_array_equal(replayed(flac), noise(16_000)[:, 0])


# -- standard input ------------------------------------------------------------------------------------------------


class Pieces(io.RawIOBase):
    """A pipe whose every read gives the next piece, whatever was asked for beyond it."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece = self._data[: min(self._size, len(buffer))]
        self._data = self._data[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


def ffmpeg(*args) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", "-i", *args], stdout=subprocess.PIPE, check=True).stdout


def piped(data: bytes, size: int = 10**9, **raw) -> tuple[np.ndarray, str | None]:
    with StandardInput(Pieces(data, size), **raw) as source:
        samples = joined(source.blocks(), source.rate)
        assert (source.name, source.loss, source.latency_samples) == ("standard input", Loss(), 0)
    return samples, source.warning


def wav_bytes(made: np.ndarray, rate: int, subtype: str, form: str = "WAV") -> bytes:
    out = io.BytesIO()
    sf.write(out, made, rate, format=form, subtype=subtype)
    return out.getvalue()


SIZES = [1, 3, 7, 1_599, 4_096, 10**9]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_raw_samples_are_the_same_whatever_pieces_come(size, channels):
    made = noise(4_000, channels)
    samples, warning = piped((made * 32_768).astype("<i2").tobytes(), size, channels=channels, rate=8_000)
    np.testing.assert_array_equal(samples, made.mean(axis=1))
    assert warning is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_wav_is_decoded_as_soundfile_decodes_it(size, form, subtype):
    made = np.random.default_rng(0).uniform(-1, 1, (3_000, 2))
    data = wav_bytes(made, 44_100, subtype, form)
    expected = sf.read(io.BytesIO(data), dtype="float32")[0].mean(axis=1)
    samples, warning = piped(data, size)
    np.testing.assert_array_equal(samples, expected)
    assert warning is None


def test_chunks_around_the_sound_are_not_heard():
    data = wav_bytes(noise(1_000), 16_000, "PCM_16")
    before = data[:36] + struct.pack("<4sI", b"LIST", 5) + b"hello\0" + data[36:]
    after = before + struct.pack("<4sI", b"LIST", 4_000) + b"x" * 4_000
    samples, warning = piped(after, 7)
    np.testing.assert_array_equal(samples, noise(1_000)[:, 0])
    assert warning is None


@needs_ffmpeg
@pytest.mark.parametrize(
    "how", [["-f", "s16le"], ["-f", "wav"], ["-f", "wav", "-c:a", "pcm_s24le"], ["-f", "wav", "-rf64", "always"]]
)
def test_what_ffmpeg_pipes_is_the_file(tmp_path, how):
    path = tmp_path / "voice.wav"
    sf.write(path, noise(16_000 * 3), 16_000)
    with subprocess.Popen(["ffmpeg", "-v", "error", "-i", path, *how, "-"], stdout=subprocess.PIPE) as process:
        with StandardInput(process.stdout) as source:
            samples = joined(source.blocks(), 16_000)
        assert source.warning is None
    np.testing.assert_array_equal(samples, noise(16_000 * 3)[:, 0])


def test_a_live_pipe_is_not_delayed():
    # 20 ms come; they must go on before anything else does.
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as pipe:
        pipe.write(bytes(640))
        with StandardInput(stream) as source:
            blocks = source.blocks()
            assert sum(len(next(blocks).samples) for _ in range(2)) == 320  # the 4 bytes that were looked at, the rest
            pipe.write(bytes(641))
            assert len(next(blocks).samples) == 320
            pipe.close()
            assert list(blocks) == []
        assert "last 1 bytes" in source.warning


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot wait for a pipe with a time-out")
@pytest.mark.parametrize("by_signal", [False, True])
def test_stop_ends_a_silent_pipe(by_signal):
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as pipe:
        pipe.write(bytes(640))
        with StandardInput(stream) as source:
            before = signal.signal(signal.SIGUSR1, lambda *_: source.stop())
            stop = (lambda: os.kill(os.getpid(), signal.SIGUSR1)) if by_signal else source.stop
            timer, rescue = threading.Timer(0.2, stop), threading.Timer(5, pipe.close)  # a failure must not hang
            timer.start()
            rescue.start()
            try:
                assert sum(len(block.samples) for block in source.blocks()) == 320
                assert not pipe.closed
            finally:
                rescue.cancel()
                timer.join()
                signal.signal(signal.SIGUSR1, before)
        assert source.warning is None


def test_a_wav_pipe_that_breaks_off_is_used_as_far_as_it_goes():
    data = wav_bytes(noise(16_000), 16_000, "PCM_16")
    samples, warning = piped(data[: 44 + 8_000])
    np.testing.assert_array_equal(samples, noise(16_000)[:4_000, 0])
    assert "promised 0.8 s more" in warning


@pytest.mark.parametrize("unknown", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_pipe_without_a_size_goes_on_to_its_end(unknown):
    data = bytearray(wav_bytes(noise(1_000), 16_000, "PCM_16"))
    data[40:44] = struct.pack("<I", unknown)
    samples, warning = piped(bytes(data))
    np.testing.assert_array_equal(samples, noise(1_000)[:, 0])
    assert warning is None


WAV = wav_bytes(np.full((100, 1), 0.5), 16_000, "FLOAT")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "nothing came from standard input: see that"),
        (b"\1", "not one whole sample"),
        (WAV[:44], "damaged or breaks off"),
        (WAV[:18], "damaged or breaks off"),
        (WAV[:20], "breaks off"),
        (WAV[:26], "breaks off"),
        (b"RIFF", "damaged or breaks off"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "damaged or breaks off"),
        (WAV[: WAV.index(b"data") + 8], "not one whole sample"),
        (wav_bytes(noise(100), 16_000, "ULAW"), "must be 16, 24 or 32 bit PCM or 32 bit float, got format 7"),
        (wav_bytes(noise(100), 4_000, "PCM_16"), "got 4000"),
        (WAV[:-4] + struct.pack("<f", np.nan), "no sound at sample 99 "),
        (b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xff" + bytes(200_000), "damaged or breaks off"),
    ],
)
def test_bad_standard_input_says_what_to_do(data, says):
    with pytest.raises(FileError, match=says) as error:
        piped(data)
    one_line(error)


def test_a_closed_stream_says_what_to_do():
    stream = io.BytesIO(bytes(100))
    source = StandardInput(stream)
    stream.close()
    with pytest.raises(FileError, match="cannot read standard input") as error:
        list(source.blocks())
    one_line(error)


@pytest.mark.parametrize("wrong", [{"rate": 1_000}, {"channels": 0}])
def test_raw_formats_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        StandardInput(io.BytesIO(bytes(100)), **wrong)


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
