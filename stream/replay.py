"""Files and standard input as sources: what is recorded comes in as if it were heard now.

Nothing is loaded whole, whatever its length. Only what is not there or is not sound is an error; sound that breaks off
is given as far as it goes, and `warning` then says in one line what is missing.
"""

import io
import os
import re
import select
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import soundfile as sf

from stream.clock import SAMPLE_RATE
from stream.errors import FileError, UsageError
from stream.records import Block, FloatArray, Loss
from stream.resample import check_rate
from stream.ring import RingBuffer

__all__ = ["StandardInput", "WavReplay", "open_source"]

_BLOCKS_PER_S = 10  # a block is as long as a hop
_POLL_S = 0.05  # how soon `stop` is seen by whoever waits
_LATE_POLL_S = 0.005  # how soon the pacing thread sees that a late reader has made room
_RING_S = 2  # sound between the pacing thread and the reader
_LOUDEST = 1e6  # full scale is 1; the power spectrum of anything up to this stays far inside float32
_WITHOUT_END = 0x7FFFF000  # sox writes this size, ffmpeg 2**32 - 1, arecord 2**31, when they cannot know it
_CUT_SIZE = r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)"  # WAV, AIFF, AU in libsndfile's log
_CONVERT = "`ffmpeg -i IN -ar 16000 OUT.wav` converts most that is sound"


def open_source(path: str | Path, speed: float | None = 1.0) -> "WavReplay | StandardInput":
    """The source that the command line means by `path`.

    Args:
        path: a file; "-" for standard input.
        speed: see `WavReplay`. Standard input comes as fast as its writer gives it.

    Raises:
        FileError: see `WavReplay` and `StandardInput`.
        UsageError: `speed` is not above 0, or standard input is a keyboard.
    """
    if str(path) != "-":
        return WavReplay(path, speed=speed)
    _check_speed(speed)
    if sys.stdin is None or sys.stdin.closed:
        raise FileError("standard input is closed: pipe sound in, as in `ffmpeg -i IN -f wav - | livespeaker replay -`")
    if sys.stdin.isatty():
        raise UsageError("standard input is a keyboard: name a file, or pipe sound in, as in `cat IN.wav | ... -`")
    return StandardInput(sys.stdin.buffer)


class WavReplay:
    """A sound file, opened when this is made: WAV, FLAC, OGG, Opus, MP3 and whatever else soundfile reads.

    Channels are mixed down by their mean. The samples are the same at every speed: unlike a microphone, a paced file
    waits for a reader that is late.

    Args:
        path: the file.
        speed: seconds of sound a second, above 0; None for as fast as it is read, without a thread.

    Attributes:
        name: the file's name, without its folder.
        rate: samples a second.
        latency_samples: 0.
        warning: once `blocks` has ended, what is missing from the file, in one line; None when it is whole.

    Raises:
        FileError: the file is missing, a folder, a pipe, empty, without sound, not audio, or of a rate that cannot be
            listened to.
        UsageError: `speed` is not a number above 0.
    """

    latency_samples = 0

    def __init__(self, path: str | Path, *, speed: float | None = 1.0) -> None:
        _check_speed(speed)
        self._shown = repr(str(path))  # escapes line ends: a message is one line
        self._file = _open(Path(path), self._shown)
        self.name = Path(path).name
        self.rate: int = self._file.samplerate
        self.warning = self._cut_header()
        self._speed = speed
        self._step = self.rate // _BLOCKS_PER_S
        self._ring = RingBuffer(_RING_S * self.rate, self.rate)
        self._position = 0  # samples read from the file
        self._taken = 0  # samples that `blocks` got out of the ring
        self._pacer: threading.Thread | None = None
        self._failure: Exception | None = None  # what ended the pacing thread
        self._stopped = False  # a plain flag: a signal handler may set it without waiting for a lock

    def __enter__(self) -> "WavReplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._pacer is not None:
            self._pacer.join()
        self._file.close()

    def blocks(self) -> Iterator[Block]:
        """The sound, once through, in blocks of up to 100 ms; paced from the moment of the first `next`.

        Yields:
            Blocks counted at `rate` from 0, without a gap.

        Raises:
            FileError: nothing could be decoded, or a value is no sound (not finite); what comes before has been given.
        """
        return self._read() if self._speed is None else self._listen(self._speed)

    def stop(self) -> None:
        """Make `blocks` end after what was read so far; from any thread or signal handler."""
        self._stopped = True
        self._ring.close()

    @property
    def loss(self) -> Loss:
        """What was lost so far: nothing."""
        return self._ring.loss

    def _read(self) -> Iterator[Block]:
        while not self._stopped:
            try:
                frames = self._file.read(self._step, dtype="float32", always_2d=True)
            except sf.SoundFileError as error:
                self._end(f"is damaged ({_one_line(error)})")
                return
            if not len(frames):
                # An MP3's length can be an estimate, a fraction of a per cent off; other formats state it exactly, but
                # libsndfile cuts the number down to what is there, so their shortfall is seen in the header.
                missing = 0 if self._file.frames >= 2**62 else self._file.frames - self._position
                self._end("is cut off" if missing > self._file.frames / 100 else None)
                return
            block = Block(self._position, _mix(frames, self._position, self.rate, self._shown), self.rate)
            self._position += len(frames)
            yield block

    def _end(self, problem: str | None) -> None:
        if not self._position:
            raise FileError(f"{self._shown} {problem or 'is cut off'}: nothing of it can be read; get it again whole")
        if problem:
            self.warning = f"{self._shown} {problem}: only its first {self._position / self.rate:.1f} s were used"

    def _cut_header(self) -> str | None:
        # libsndfile tells in its log where a header and the file's size disagree.
        for promised, there in re.findall(_CUT_SIZE, self._file.extra_info):
            if int(there) < int(promised) < _WITHOUT_END:
                return f"{self._shown} is cut off: {there} of {promised} bytes of sound are there, and were used"
        if "lacks an end-of-stream bit" in self._file.extra_info:  # the Ogg container
            return f"{self._shown} has no end mark: it may be cut off after {self._file.frames / self.rate:.1f} s"
        return None

    def _listen(self, speed: float) -> Iterator[Block]:
        self._pacer = threading.Thread(target=self._pace, args=(speed,), name="pace", daemon=True)
        self._pacer.start()
        try:
            while not self._ring.ended:
                block = self._ring.read(self._step, _POLL_S)
                if block is not None:
                    self._taken += len(block.samples)
                    yield block
        finally:
            self.stop()
            self._pacer.join()
        if self._failure is not None:
            raise self._failure

    def _pace(self, speed: float) -> None:
        # Due times are all counted from the start: what one sleep is late does not add up.
        start_s = time.monotonic()
        try:
            for block in self._read():
                end = block.start + len(block.samples)  # a microphone gives a block when its last sample was heard
                self._wait(start_s + end / self.rate / speed, end)
                self._ring.write(block.samples)
        except Exception as error:  # noqa: BLE001 - raised again by `blocks`, in the reader's thread
            self._failure = error
        finally:
            self._ring.close()

    def _wait(self, due_s: float, end: int) -> None:
        while not self._stopped:
            wait_s = due_s - time.monotonic()
            if wait_s <= 0:
                if end - self._taken <= self._ring.capacity:
                    return
                wait_s = _LATE_POLL_S
            time.sleep(min(wait_s, _POLL_S))


class StandardInput:
    """Sound from a pipe, as fast as its writer gives it: raw 16-bit little-endian samples, or WAV, told by its header.

    Each read takes what is there, so that a live pipe is not delayed. Making one waits for the first four bytes, with
    WAV for the header.

    Args:
        stream: a binary stream nothing was read from; it need not seek.
        rate: samples a second of raw sound. A WAV header goes before it.
        channels: of raw sound, interleaved, mixed down by their mean. A WAV header goes before it.

    Attributes:
        name: "standard input".
        rate: samples a second.
        latency_samples: 0.
        warning: once `blocks` has ended, what was missing, in one line; None when all came.

    Raises:
        FileError: nothing comes, the WAV header is damaged or of a kind that is not read, or the stream cannot be read.
        UsageError: `rate` or `channels` cannot be.
    """

    name = "standard input"
    latency_samples = 0

    def __init__(self, stream: BinaryIO, *, rate: int = SAMPLE_RATE, channels: int = 1) -> None:
        check_rate(rate)
        if channels < 1:
            raise UsageError(f"sound has at least 1 channel, got {channels}")
        self.warning: str | None = None
        self._stopped = False  # a plain flag: a signal handler may set it without waiting for a lock
        self._read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        raw = getattr(stream, "raw", stream)
        # Only a wait with a time-out sees `stop`; Windows has none for pipes.
        self._fd = raw.fileno() if isinstance(raw, io.FileIO) and os.name == "posix" else None
        self._ahead = b""  # bytes read, to be given first
        head = self._take(4)
        if not head:
            raise FileError("nothing came from standard input: see that the program before the pipe gives sound")
        self._sound = _Sound(rate, channels, width=2)
        if head in (b"RIFF", b"RF64"):
            self._sound = _read_wav_header(self._take)
        else:
            self._ahead = head
        self.rate = self._sound.rate

    def __enter__(self) -> "StandardInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def blocks(self) -> Iterator[Block]:
        """The sound, as it comes, until it ends.

        Yields:
            Blocks of up to 100 ms, counted at `rate` from 0, without a gap.

        Raises:
            FileError: not one whole sample came, a value is no sound (not finite), or the stream cannot be read.
        """
        sound = self._sound
        frame_bytes = sound.channels * sound.width
        most = self.rate // _BLOCKS_PER_S * frame_bytes
        left = sound.size
        rest = b""
        position = 0
        while piece := self._read_some(min(most - len(rest), left)):
            left -= len(piece)
            rest += piece
            whole = len(rest) - len(rest) % frame_bytes
            if whole:
                samples = _mix(sound.decode(rest[:whole]), position, self.rate, self.name)
                rest = rest[whole:]
                yield Block(position, samples, self.rate)
                position += len(samples)
        if self._stopped:
            return
        if not position:
            raise FileError("not one whole sample came from standard input: see that the program before the pipe works")
        if rest:
            self.warning = f"standard input ended inside a sample: its last {len(rest)} bytes were dropped"
        elif left and sound.size < _WITHOUT_END:
            self.warning = f"standard input broke off: its header promised {left // frame_bytes / self.rate:.1f} s more"

    def stop(self) -> None:
        """Make `blocks` end; from any thread or signal handler. Seen within 50 ms (on Windows, with the next sound)."""
        self._stopped = True

    @property
    def loss(self) -> Loss:
        """What was lost so far: nothing, a pipe waits."""
        return Loss()

    def _take(self, n: int) -> bytes:
        """`n` bytes, fewer only at the end."""
        taken = b""
        while piece := self._read_some(n - len(taken)):
            taken += piece
        return taken

    def _read_some(self, n: int) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end and after `stop`."""
        if self._ahead:
            piece, self._ahead = self._ahead[:n], self._ahead[n:]
            return piece
        try:
            while n and not self._stopped:
                if self._fd is None:
                    return self._read1(n)
                if select.select([self._fd], [], [], _POLL_S)[0]:
                    return os.read(self._fd, n)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            raise FileError(f"cannot read standard input: {_one_line(error)}; pipe the sound in again") from error
        return b""


class _ForwardFile(sf.SoundFile):  # type: ignore[misc] # soundfile ships no types
    # soundfile seeks to where it is after each read of a file that can seek: slower, a few bits off in MP3, and an
    # error at the end of a FLAC that was written to a pipe (its header does not know its length).
    def seekable(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class _Sound:
    """How samples lie in bytes, little-endian."""

    rate: int  # samples a second
    channels: int
    width: int  # bytes a sample
    is_float: bool = False
    size: int = sys.maxsize  # bytes promised; at least _WITHOUT_END: until the stream ends

    def decode(self, data: bytes) -> FloatArray:
        """Whole frames as (n, channels) float32, full scale is [-1, 1]."""
        samples: FloatArray
        if self.is_float:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
        elif self.width == 2:
            samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
        else:
            # 24 bits become the upper three bytes of 32.
            wide = np.zeros((len(data) // self.width, 4), dtype=np.uint8)
            wide[:, 4 - self.width :] = np.frombuffer(data, np.uint8).reshape(-1, self.width)
            samples = wide.view("<i4").astype(np.float32) / np.float32(2**31)
        return samples.reshape(-1, self.channels)


def _read_wav_header(take: Callable[[int], bytes]) -> _Sound:
    """Read on from behind "RIFF" to the first sample, without seeking (RIFF, Microsoft and IBM 1991)."""
    sound: _Sound | None = None
    if take(8)[4:] == b"WAVE":
        while len(head := take(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            if kind == b"data" and sound is not None:
                # A size of 0, too, is what a writer leaves that could not come back to fill it in.
                return replace(sound, size=size if 0 < size < _WITHOUT_END else sys.maxsize)
            if kind == b"fmt " and 16 <= size <= 4096:
                sound = _read_format(take(size + size % 2))
                continue
            left = size + size % 2  # chunks are padded to even sizes
            while left and (skipped := len(take(min(left, 65_536)))):
                left -= skipped
    raise FileError(
        "the WAV header on standard input is damaged or breaks off: send it again, or raw samples, as in "
        "`ffmpeg -i IN -ac 1 -ar 16000 -f s16le - | livespeaker replay -`"
    )


def _read_format(body: bytes) -> _Sound:
    if len(body) < 16:
        raise FileError("the WAV header on standard input breaks off: see that the program before the pipe works")
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", body)
    if tag == 0xFFFE and len(body) >= 26:  # WAVE_FORMAT_EXTENSIBLE: the true tag begins the GUID
        (tag,) = struct.unpack_from("<H", body, 24)
    if (tag, bits) not in ((1, 16), (1, 24), (1, 32), (3, 32)) or not channels or align != channels * bits // 8:
        raise FileError(
            f"WAV on standard input must be 16, 24 or 32 bit PCM or 32 bit float, got format {tag} with {bits} bit and "
            f"{channels} channels: replay the file itself, or use `ffmpeg -i IN -f wav - | livespeaker replay -`"
        )
    _check_rate_of(rate, "standard input")
    return _Sound(rate, channels, bits // 8, is_float=tag == 3)


def _open(path: Path, shown: str) -> sf.SoundFile:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise FileError(f"wanted a sound file, got the folder {shown}: name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"wanted a sound file, {shown} is a pipe or a device: use `livespeaker replay - < {shown}`")
        path.open("rb").close()  # for the system's reason, which libsndfile does not pass on
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot open the sound file {shown}: {reason}; check the path") from error
    if not status.st_size:
        raise FileError(f"{shown} is empty (0 bytes): record it or copy it again")
    try:
        file = _ForwardFile(str(path))
    except (sf.SoundFileError, TypeError) as error:  # TypeError: a name that ends in .raw says nothing of its format
        raise FileError(f"{shown} is not sound that can be read (WAV, FLAC, OGG, Opus, MP3): {_CONVERT}") from error
    if not file.frames:
        file.close()
        raise FileError(f"{shown} holds no sound (0 samples): record it or copy it again")
    _check_rate_of(file.samplerate, shown)
    return file


def _mix(frames: FloatArray, position: int, rate: int, shown: str) -> FloatArray:
    """(n, channels) to (n,), by the mean; looks at every value: one that is not finite would stay in every sum."""
    if not np.abs(frames).max() <= _LOUDEST:  # false for not-a-number, too
        at = position + int(np.argmin(np.abs(frames).max(axis=1) <= _LOUDEST))
        raise FileError(
            f"{shown} has a value that is no sound at sample {at} ({at / rate:.3f} s): wanted finite values, full "
            "scale in [-1, 1]; export it again as 16-bit WAV"
        )
    mono: FloatArray = frames.mean(axis=1, dtype=np.float32)
    return mono


def _check_speed(speed: float | None) -> None:
    if speed is not None and not (isfinite(speed) and speed > 0):
        raise UsageError(f"--speed must be a number above 0, or max, got {speed:g}: 1 is as fast as it was spoken")


def _check_rate_of(rate: int, shown: str) -> None:
    try:
        check_rate(rate)
    except UsageError as error:
        raise FileError(f"{shown}: {error}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
