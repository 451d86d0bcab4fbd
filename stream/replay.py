"""Files as sources: what is recorded comes in as if it were heard now.

Nothing is loaded whole, whatever its length. Only what is not there or is not sound is an error; sound that breaks off
is given as far as it goes, and `warning` then says in one line what is missing.
"""

import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from types import TracebackType

import soundfile as sf

from stream.errors import FileError, UsageError
from stream.recorded import BLOCKS_PER_S, POLL_S, WITHOUT_END, check_recorded_rate, mix_down
from stream.records import Block, Loss
from stream.ring import RingBuffer
from stream.standard_input import StandardInput
from stream.text import one_line

__all__ = ["WavReplay", "open_source"]

_LATE_POLL_S = 0.005  # how soon the pacing thread sees that a late reader has made room
_RING_S = 2  # sound between the pacing thread and the reader
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
        held: while this is True, a paced file stands still; set by whoever listens.
        warning: once `blocks` has ended, what is missing from the file, in one line; None when it is whole.

    Raises:
        FileError: the file is missing, a folder, a pipe, empty, without sound, not audio, or of a rate that cannot be
            listened to.
        UsageError: `speed` is not a number above 0.
    """

    latency_samples = 0
    lag_samples = 0  # it waits for whoever is late

    def __init__(self, path: str | Path, *, speed: float | None = 1.0) -> None:
        _check_speed(speed)
        self._shown = repr(str(path))  # escapes line ends: a message is one line
        self._file = _open(Path(path), self._shown)
        self.name = Path(path).name
        self.rate: int = self._file.samplerate
        self.warning = self._cut_header()
        self._speed = speed
        self._step = self.rate // BLOCKS_PER_S
        self._ring = RingBuffer(_RING_S * self.rate, self.rate)
        self._position = 0  # samples read from the file
        self._taken = 0  # samples that `blocks` got out of the ring
        self._pacer: threading.Thread | None = None
        self._failure: Exception | None = None  # what ended the pacing thread
        self.held = False
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
                self._end(f"is damaged ({one_line(error)})")
                return
            if not len(frames):
                # An MP3's length can be an estimate, a fraction of a per cent off; other formats state it exactly, but
                # libsndfile cuts the number down to what is there, so their shortfall is seen in the header.
                missing = 0 if self._file.frames >= 2**62 else self._file.frames - self._position
                self._end("is cut off" if missing > self._file.frames / 100 else None)
                return
            block = Block(self._position, mix_down(frames, self._position, self.rate, self._shown), self.rate)
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
            if int(there) < int(promised) < WITHOUT_END:
                return f"{self._shown} is cut off: {there} of {promised} bytes of sound are there, and were used"
        if "lacks an end-of-stream bit" in self._file.extra_info:  # the Ogg container
            return f"{self._shown} has no end mark: it may be cut off after {self._file.frames / self.rate:.1f} s"
        return None

    def _listen(self, speed: float) -> Iterator[Block]:
        self._pacer = threading.Thread(target=self._pace, args=(speed,), name="pace", daemon=True)
        self._pacer.start()
        try:
            while not self._ring.ended:
                block = self._ring.read(self._step, POLL_S)
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
                start_s += self._stand_still()
                self._wait(start_s + end / self.rate / speed, end)
                self._ring.write(block.samples)
        except Exception as error:  # noqa: BLE001 - raised again by `blocks`, in the reader's thread
            self._failure = error
        finally:
            self._ring.close()

    def _stand_still(self) -> float:
        """Wait while the file is held; for how many seconds that was."""
        began_s = time.monotonic()
        while self.held and not self._stopped:
            time.sleep(POLL_S)
        return time.monotonic() - began_s

    def _wait(self, due_s: float, end: int) -> None:
        while not self._stopped:
            wait_s = due_s - time.monotonic()
            if wait_s <= 0:
                if end - self._taken <= self._ring.capacity:
                    return
                wait_s = _LATE_POLL_S
            time.sleep(min(wait_s, POLL_S))


class _ForwardFile(sf.SoundFile):  # type: ignore[misc] # soundfile ships no types
    # soundfile seeks to where it is after each read of a file that can seek: slower, a few bits off in MP3, and an
    # error at the end of a FLAC that was written to a pipe (its header does not know its length).
    def seekable(self) -> bool:
        return False


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
    check_recorded_rate(file.samplerate, shown)
    return file


def _check_speed(speed: float | None) -> None:
    if speed is not None and not (isfinite(speed) and speed > 0):
        raise UsageError(f"--speed must be a number above 0, or max, got {speed:g}: 1 is as fast as it was spoken")
