"""Decisions for other programs: JSON Lines, RTTM, and plain lines for pipes and eyes.

`captions`, `tables` and `timeline` have more.
Every output opens its file when it is made, so that a path that cannot be written fails before the
microphone opens; a file that is there is replaced. A record is one line or a few, handed to the system
whole and at once: whatever ends the program, the file holds only whole records. `-` is standard output.
"""

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TextIO

from stream.clock import SAMPLE_RATE, format_seconds, samples_to_seconds
from stream.errors import OutputError, ReaderGoneError
from stream.records import Gap, Loss, Turn
from stream.rttm import format_rttm
from stream.text import safe_text, system_reason

__all__ = ["JsonLines", "Lines", "Notices", "Output", "Rttm", "latencies"]

JSONL_SCHEMA = 1
"""Goes up when a record changes so that an old reader would misread it; new fields and types do not."""

_STANDARD_OUTPUT = "-"

# What `json.dumps` leaves as it is although a terminal obeys it (C1 controls), a line reader breaks
# at it (U+2028, U+2029), it reorders its surroundings (bidi), or UTF-8 cannot hold it (surrogates).
_JSON_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


class Output:
    """Where decisions go: a file that other programs read. Use it as a context manager.

    Args:
        file: path to write; a file that is there is replaced; `-` is standard output.

    Raises:
        OutputError: the file cannot be opened, or, from every method, cannot be written any more
            (a full disk, a pipe whose reader left).
        ReaderGoneError: standard output is a pipe that nobody reads any more.
    """

    keeps_decisions = True  # a session that has lost all that do ends
    trouble = ""  # what the other outputs should be told of this one; whoever tells it takes it away

    def __init__(self, file: str | Path) -> None:
        self._path = str(file)
        self._to_standard_output = self._path == _STANDARD_OUTPUT
        self._failed = False
        self._file: BinaryIO
        if self._to_standard_output:
            self._file = _unbuffered(sys.stdout)
            return
        try:
            # Unbuffered: a line that sits in a buffer is lost when the program is killed.
            self._file = open(self._path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        except (OSError, ValueError) as error:
            raise OutputError(
                f"cannot write to {safe_text(self._path)}: {system_reason(error)}; "
                "give a path in a folder that is yours"
            ) from error

    def write(self, turn: Turn) -> None:
        """Put down one turn, tentative or final."""
        raise NotImplementedError

    def gap(self, start: int, end: int) -> None:
        """Put down that the sound from sample `start` to `end` (16 kHz) was lost. Formats without gaps ignore it."""

    def notice(self, at: int, text: str) -> None:
        """Put down what happened to the source at sample `at` (16 kHz). Formats without a place for it ignore it."""

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        """Put down that the stream ended by itself after `duration` samples at 16 kHz, with what was lost."""

    def close(self) -> None:
        """Close the file; standard output stays open. Closing again does nothing."""
        if not self._to_standard_output:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, lines: str) -> None:
        self._put_bytes(lines.encode() + b"\n")

    def _put_bytes(self, data: bytes) -> None:
        if self._failed:  # it has been said once; the half that stands there must not get a second half
            return
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
            self._file.flush()
        except OSError as error:
            self._failed = True
            if self._to_standard_output:
                self._give_up_standard_output(error)
            self._take_back(written)
            self.close()
            raise OutputError(
                f"cannot write to {safe_text(self._path)}: {system_reason(error)}; what was written before is whole"
            ) from error

    def _take_back(self, written: int) -> None:
        """Cut off the part of a line that a full disk took, where the file can be cut."""
        try:
            if written and self._file.seekable():
                self._file.truncate(self._file.tell() - written)
        except OSError:
            pass  # the disk says no twice; the first reason is the one to report

    def _give_up_standard_output(self, error: OSError) -> None:
        # Python flushes standard output once more when it ends, and would complain about it again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError("nobody reads standard output any more; give a file to keep everything") from error
        raise OutputError(f"cannot write to standard output: {system_reason(error)}; give a file instead") from error


class JsonLines(Output):
    """One JSON object a line, in UTF-8: a session, its turns and gaps, and its end.

    ```
    {"type": "session", "schema": 1, "source": "talk.wav", "sample_rate": 16000}
    {"type": "turn", "start_s": 12.3, "end_s": 12.8, "name": "alice", "probability": 0.61, "final": false,
     "guess_latency_s": 0.522}
    {"type": "turn", "start_s": 12.3, "end_s": 15.8, "name": "alice", "probability": 0.9712, "final": true,
     "guess_latency_s": 0.522, "final_latency_s": 5.322}
    {"type": "notice", "at_s": 20.0, "text": "the microphone 'USB Mic' stopped giving sound; waiting for it"}
    {"type": "gap", "start_s": 20.0, "end_s": 20.2}
    {"type": "end", "duration_s": 61.0, "loss": {"overflows": 0, "overruns": 1, "samples": 3200}, "gaps": 1}
    ```

    A turn is one line (here it is two, to fit). One with `final` false may be replaced by a later one with the
    same `start_s`; a final one stands. `guess_latency_s` is how many seconds of sound, from the turn's start, had
    been heard when it was first given this name, as a guess or as final, and `final_latency_s` how many when it was
    final: the end of the turn and the silence that showed it are in it. They are counted on the stream's clock, so
    that they are the same however fast the sound came; what the device and the resampler hold back comes on top.
    Turns that no recognizer told lack both. `"overlap": true` says that a second voice was heard in the turn; where it
    is missing, none was, or it was not noticed. `"second": "bob"` beside it says whose that was, somebody's who is
    enrolled; where it is missing, nobody knows. Without an `end` the session was cut off.

    Names come as they are; characters that could harm a terminal or a line reader are escaped as JSON allows, so a
    parser gets every name back exactly.

    Args:
        file: path to write, or `-`.
        source: what is being listened to.
    """

    def __init__(self, file: str | Path, source: str) -> None:
        super().__init__(file)
        self._record(type="session", schema=JSONL_SCHEMA, source=source, sample_rate=SAMPLE_RATE)

    def write(self, turn: Turn) -> None:
        """Put down one turn, tentative or final."""
        self._record(
            type="turn",
            start_s=_seconds(turn.start),
            end_s=_seconds(turn.end),
            name=turn.name,
            probability=round(float(turn.probability), 4),
            final=turn.final,
            **latencies(turn),
            **({"overlap": True} if turn.overlap else {}),
            **({} if turn.second is None else {"second": turn.second}),
        )

    def gap(self, start: int, end: int) -> None:
        """Put down lost sound."""
        self._record(type="gap", start_s=_seconds(start), end_s=_seconds(end))

    def notice(self, at: int, text: str) -> None:
        """Put down what happened to the source."""
        self._record(type="notice", at_s=_seconds(at), text=text)

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        """Put down the end: `duration` in samples at 16 kHz, the losses at the source's rate."""
        lost = {"overflows": loss.overflows, "overruns": loss.overruns, "samples": loss.samples}
        self._record(type="end", duration_s=_seconds(duration), loss=lost, gaps=gaps)

    def _record(self, **fields: object) -> None:
        line = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        self._put(_JSON_UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line))


class Rttm(Output):
    """Final turns as RTTM, the format of diarization scorers; see `stream.rttm`.

    Args:
        file: path to write, or `-`.
        file_id: what the turns belong to, normally the name of the sound file without its ending.
    """

    def __init__(self, file: str | Path, file_id: str) -> None:
        super().__init__(file)
        self._file_id = file_id

    def write(self, turn: Turn) -> None:
        """Put down a final turn; a tentative one has no place in RTTM."""
        if turn.final:
            self._put(format_rttm(turn, self._file_id))


class Lines(Output):
    """One plain line a final turn, for pipes, logs and eyes.

    What is not a final turn (gaps, losses) begins with `#`; nothing is coloured.

    Args:
        file: path to write; standard output unless given.
        verbose: show guesses as well, each time that the name changes, with a `?` after the name.
    """

    def __init__(self, file: str | Path = _STANDARD_OUTPUT, *, verbose: bool = False) -> None:
        super().__init__(file)
        self._verbose = verbose
        self._last_guess: tuple[int, str] | None = None

    def write(self, turn: Turn) -> None:
        """Put down a turn; a guess only when asked for, and when it says something new."""
        if not turn.final:
            guess = (turn.start, turn.name)
            if not self._verbose or guess == self._last_guess:
                return
            self._last_guess = guess
        self._put(str(turn) if turn.final else f"# {turn}  maybe")

    def gap(self, start: int, end: int) -> None:
        """Put down lost sound."""
        self._put(f"# {Gap(start, end)}")

    def notice(self, at: int, text: str) -> None:
        """Put down what happened to the source."""
        self._put(f"# {format_seconds(samples_to_seconds(at))}  {safe_text(text)}")

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        """Put down what was lost, if anything was."""
        if loss or gaps:
            self._put(f"# {format_seconds(samples_to_seconds(duration))}  lost on the way: {loss}, {gaps} gaps")


class Notices(Output):
    """What happened to the source, on standard error."""

    keeps_decisions = False

    def __init__(self) -> None:
        """Nothing is opened: standard error is whatever it is when there is something to say."""

    def write(self, turn: Turn) -> None:
        """Decisions are not for it."""

    def notice(self, at: int, text: str) -> None:
        """Tell what happened to the source."""
        with suppress(OSError, ValueError):  # nobody is there to be told
            line = f"{format_seconds(samples_to_seconds(at))}  {safe_text(text)}\n"
            _unbuffered(sys.stderr).write(line.encode(sys.stderr.encoding, "replace"))

    def close(self) -> None:
        """Nothing was opened."""


def _unbuffered(stream: TextIO) -> BinaryIO:
    # A thread that hangs in a buffered write holds the buffer's lock, and Python could not end.
    stream.flush()
    buffer: BinaryIO = stream.buffer
    return getattr(buffer, "raw", buffer)


def latencies(turn: Turn) -> dict[str, float]:
    """How much sound it took from the turn's start, in seconds, by the names that `JsonLines` gives; what is known.

    >>> latencies(Turn(16_000, 32_000, "Ann", 0.9, final=True, named_at=22_752, final_at=43_952))
    {'guess_latency_s': 0.422, 'final_latency_s': 1.747}
    """
    known = {"guess_latency_s": turn.named_at, "final_latency_s": turn.final_at}
    return {name: _seconds(at - turn.start) for name, at in known.items() if at is not None}


def _seconds(samples: int) -> float:
    return round(samples_to_seconds(samples), 3)
