"""The sound of a session, kept in a file as it came, so that the session can be replayed.

WAV holds the very numbers, in 32-bit floating point; FLAC holds 24 bits up to full scale, which is all that most
microphones and files give, in a quarter to a half of the space. Lost sound becomes silence of the same length, so that
the clock stays true. In a replay that is silence and no gap: a turn is then not cut off where sound was lost, and ends
with the silence instead.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile as sf

from stream.errors import OutputError, UsageError
from stream.records import Block, FloatArray, Notice
from stream.session import Source, Wrapped
from stream.text import safe_text, system_reason

__all__ = ["FlacRecording", "Recorded", "Recording", "WavRecording", "check_recording_path", "open_recording"]

_BYTES = 4  # of a sample in a WAV recording
_HEADER_BYTES = 94  # of a WAV recording, for every length
_RIFF_MOST = 2**32 - 1  # what RIFF's sizes can say; beyond, the file is RF64


def check_recording_path(path: str | Path) -> None:
    """See that a recording of this name can be made.

    Raises:
        UsageError: it ends neither in .wav nor in .flac.
    """
    if Path(path).suffix.lower() not in (".wav", ".flac"):
        raise UsageError(f"--record wants a file that ends in .wav or .flac, got {safe_text(str(path))}; rename it")


def open_recording(path: str | Path, rate: int) -> "Recording":
    """A recording of the kind that the name's ending says.

    Args:
        path: to write; a file that is there is replaced.
        rate: samples a second.

    Raises:
        UsageError: see `check_recording_path`.
        OutputError: the file cannot be opened.
    """
    check_recording_path(path)
    return (WavRecording if Path(path).suffix.lower() == ".wav" else FlacRecording)(path, rate)


class Recording:
    """A sound file that grows. What ends the program leaves a file that opens and holds the sound so far.

    Raises:
        OutputError: the file cannot be opened, or, from `write`, cannot be written any more; it then holds what was
            written before.
    """

    def __init__(self, path: str | Path, rate: int) -> None:
        self.rate = rate
        self.samples = 0  # written so far, at `rate`
        self._shown = safe_text(str(path))
        try:
            self._file = _Appended(path)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"cannot write to {self._shown}: {system_reason(error)}; give a path in a folder that is yours"
            ) from error

    def write(self, block: Block) -> None:
        """Put down a block, after silence for what is missing before it."""
        if block.start > self.samples:
            self._pass_over(block.start - self.samples)
        self._write(block.samples)

    def close(self) -> None:
        """Close the file. Closing again does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pass_over(self, missing: int) -> None:
        for at in range(0, missing, self.rate):
            self._write(np.zeros(min(missing - at, self.rate), np.float32))

    def _write(self, samples: FloatArray) -> None:
        self._append(samples)
        if self._file.error is not None:
            self.close()
            raise OutputError(
                f"cannot write to {self._shown}: {system_reason(self._file.error)}; "
                f"the {self.samples / self.rate:.1f} s before are whole"
            ) from self._file.error
        self.samples += len(samples)

    def _append(self, samples: FloatArray) -> None:
        raise NotImplementedError


class WavRecording(Recording):
    """WAV of 32-bit floats, mono. The header is brought up to date with every block.

    From 4 GiB on, some 18 hours at 16 kHz, it is RF64 (EBU Tech 3306): the space for its sizes is there from the start.

    Args:
        path: to write.
        rate: samples a second.
    """

    def __init__(self, path: str | Path, rate: int) -> None:
        super().__init__(path, rate)
        self._write(np.zeros(0, np.float32))

    def _pass_over(self, missing: int) -> None:
        self.samples += missing  # a hole in the file reads as zeros: a night without a microphone costs nothing

    def _append(self, samples: FloatArray) -> None:
        self._file.seek(_HEADER_BYTES + self.samples * _BYTES)
        self._file.write(samples.astype("<f4").tobytes())
        self._file.seek(0)
        self._file.write(_wav_header(self.rate, self.samples + len(samples)))


class FlacRecording(Recording):
    """FLAC of 24 bits, mono. What is killed lacks up to 4,097 samples, and its header states no length.

    Args:
        path: to write.
        rate: samples a second.
    """

    def __init__(self, path: str | Path, rate: int) -> None:
        super().__init__(path, rate)
        self._encoder = sf.SoundFile(self._file, "w", rate, 1, "PCM_24", format="FLAC")

    def close(self) -> None:
        """Encode the rest, state the length, and close the file. Closing again does nothing."""
        self._encode(self._encoder.close)
        super().close()

    def _append(self, samples: FloatArray) -> None:
        # Scaled here: libsndfile's own scale differs between writing and reading.
        whole = np.rint(samples.astype(np.float64) * 2**23).clip(-(2**23), 2**23 - 1).astype(np.int32)
        self._encode(lambda: self._encoder.write(whole << 8))

    def _encode(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (sf.SoundFileError, AssertionError):  # soundfile asserts that everything was taken
            if self._file.error is None:
                raise


class Recorded(Wrapped):
    """A source that is kept while it is heard: what it gives is in the recording before anybody has it.

    Args:
        source: what is heard.
        recording: where its sound goes, at its rate; whoever made it closes it.
    """

    def __init__(self, source: Source, recording: Recording) -> None:
        super().__init__(source)
        self._recording = recording

    def blocks(self) -> Iterator[Block | Notice]:
        """What the source gives, until it ends or is stopped.

        Raises:
            OutputError: the recording could not be written to the end. That is said when it happens, among the blocks,
                and raised when the source has ended.
        """
        failed: OutputError | None = None
        for heard in self._source.blocks():
            if isinstance(heard, Block) and failed is None:
                try:
                    self._recording.write(heard)
                except OutputError as error:
                    failed = error
                    yield Notice(str(error), trouble=True)
            yield heard
        if failed is not None:
            raise failed


class _Appended:
    """A file that a write which fails makes no longer; after it, nothing more is taken.

    The error is kept instead of raised: libsndfile, which calls this, could not pass it on.
    """

    def __init__(self, path: str | Path) -> None:
        self.error: OSError | None = None
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()

    def write(self, data: bytes) -> int:
        """Write all of it, or give it up; the number of bytes taken."""
        if self.error is not None:
            return 0
        size, written = os.fstat(self._file.fileno()).st_size, 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            self.error = error
            with suppress(OSError):  # the disk says no twice; the first reason is the one to report
                self._file.truncate(size)
            return 0
        return written

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file. Closing again does nothing."""
        self._file.close()


def _wav_header(rate: int, samples: int) -> bytes:
    """The bytes before the first of so many 32-bit floats.

    A chunk of 28 bytes that readers pass over becomes the 64-bit sizes of RF64 where 32 bits are too few.
    """
    data = samples * _BYTES
    riff = _HEADER_BYTES - 8 + data
    big = riff > _RIFF_MOST
    sizes = struct.pack("<QQQI", riff, data, samples, 0) if big else bytes(28)
    form = struct.pack("<HHIIHHH", 3, 1, rate, rate * _BYTES, _BYTES, 8 * _BYTES, 0)  # 3: IEEE float
    short = [_RIFF_MOST if big else size for size in (riff, samples, data)]
    chunks = [
        struct.pack("<4sI4s", b"RF64" if big else b"RIFF", short[0], b"WAVE"),
        struct.pack("<4sI28s", b"ds64" if big else b"JUNK", 28, sizes),
        struct.pack("<4sI18s", b"fmt ", 18, form),
        struct.pack("<4sII", b"fact", 4, short[1]),
        struct.pack("<4sI", b"data", short[2]),
    ]
    return b"".join(chunks)
