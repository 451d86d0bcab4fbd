"""Standard input: the same samples whatever pieces come, a live pipe is not delayed, bad input says what to do."""

import io
import os
import signal
import struct
import subprocess
import threading

import numpy as np
import pytest
import soundfile as sf

from stream.errors import FileError, UsageError
from stream.records import Loss
from stream.standard_input import StandardInput
from tests.sound import joined, needs_ffmpeg, noise, one_line


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
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,  # libsndfile writes the time into it
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
