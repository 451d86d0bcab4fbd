"""Standard input as a source: raw samples or WAV from a pipe, as fast as its writer gives them.

A WAV header is read here, not by libsndfile, which has to seek. Sound that breaks off is given as far as it goes, and
`warning` then says in one line what is missing.
"""

import io
import os
import select
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO

import numpy as np

from stream.clock import SAMPLE_RATE
from stream.errors import FileError, UsageError
from stream.recorded import BLOCKS_PER_S, POLL_S, WITHOUT_END, check_recorded_rate, mix_down
from stream.records import Block, FloatArray, Loss
from stream.resample import check_rate
from stream.text import one_line

__all__ = ["StandardInput"]


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
    lag_samples = 0  # it waits for whoever is late

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
        most = self.rate // BLOCKS_PER_S * frame_bytes
        left = sound.size
        rest = b""
        position = 0
        while piece := self._read_some(min(most - len(rest), left)):
            left -= len(piece)
            rest += piece
            whole = len(rest) - len(rest) % frame_bytes
            if whole:
                samples = mix_down(sound.decode(rest[:whole]), position, self.rate, self.name)
                rest = rest[whole:]
                yield Block(position, samples, self.rate)
                position += len(samples)
        if self._stopped:
            return
        if not position:
            raise FileError("not one whole sample came from standard input: see that the program before the pipe works")
        if rest:
            self.warning = f"standard input ended inside a sample: its last {len(rest)} bytes were dropped"
        elif left and sound.size < WITHOUT_END:
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
                if select.select([self._fd], [], [], POLL_S)[0]:
                    return os.read(self._fd, n)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            raise FileError(f"cannot read standard input: {one_line(error)}; pipe the sound in again") from error
        return b""


@dataclass(frozen=True, slots=True)
class _Sound:
    """How samples lie in bytes, little-endian."""

    rate: int  # samples a second
    channels: int
    width: int  # bytes a sample
    is_float: bool = False
    size: int = sys.maxsize  # bytes promised; at least WITHOUT_END: until the stream ends

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
                return replace(sound, size=size if 0 < size < WITHOUT_END else sys.maxsize)
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
    check_recorded_rate(rate, "standard input")
    return _Sound(rate, channels, bits // 8, is_float=tag == 3)
