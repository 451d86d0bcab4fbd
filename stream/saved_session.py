"""A session that was written with `--jsonl`, read again: who spoke when, and the sound of one of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import soundfile as sf

from stream.clock import SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from stream.errors import FileError, UsageError
from stream.outputs import JSONL_SCHEMA
from stream.records import Block, Loss, Turn, guest_number
from stream.replay import WavReplay
from stream.text import safe_text, system_reason

__all__ = ["Excerpt", "SavedSession", "read_session", "sound_of", "turns_of"]

ENOUGH = 40 * SAMPLE_RATE  # samples of turns from which somebody is learned: enrolment listens to 30 s of speech
TOLERANCE_S = 0.5  # a killed FLAC lacks its last 4,096 samples; an MP3's length is an estimate, to 1 %


@dataclass(frozen=True, slots=True)
class SavedSession:
    """What a session decided."""

    source: str  # what was listened to
    turns: tuple[Turn, ...]  # the final ones, in their order
    duration: int | None  # samples at 16 kHz; None where it was cut off


def read_session(path: Path) -> SavedSession:
    """Read what `JsonLines` wrote, of a killed session too.

    Raises:
        FileError: it cannot be read, or is no session; the message names the line.
    """
    shown = safe_text(str(path))
    source, duration = None, None
    turns: list[Turn] = []
    number = 0  # of lines that were read
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                number += 1
                if record["type"] == "session":
                    if record["schema"] != JSONL_SCHEMA:
                        raise ValueError(f"schema {record['schema']}")
                    source = str(record["source"])
                elif record["type"] == "turn" and record["final"]:
                    start, end = (seconds_to_samples(float(record[key])) for key in ("start_s", "end_s"))
                    turns.append(Turn(start, end, str(record["name"]), float(record["probability"]), final=True))
                elif record["type"] == "end":
                    duration = seconds_to_samples(float(record["duration_s"]))
    except OSError as error:
        raise FileError(f"cannot read {shown}: {system_reason(error)}; give what --jsonl wrote") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{shown}, line {number}: wanted a record of a session, got another; give what --jsonl wrote"
        ) from error
    if source is None:
        raise FileError(f"{shown} is no session: its first line does not say so; give what --jsonl wrote")
    return SavedSession(source, tuple(turns), duration)


def turns_of(session: SavedSession, guest: str) -> list[Turn]:
    """The final turns of a guest, in their order: the longest, as many as enrolment listens to.

    Raises:
        UsageError: there is no such guest.
    """
    own = [turn for turn in session.turns if turn.name == guest]
    if guest_number(guest) is None or not own:
        guests = dict.fromkeys(turn.name for turn in session.turns if guest_number(turn.name))
        there = " or ".join(sorted(guests, key=lambda name: guest_number(name) or 0)) or "of whom there is none"
        raise UsageError(f"expected a guest of the session, {there}, got {safe_text(guest)!r}; name one of them")
    chosen: list[Turn] = []
    for turn in sorted(own, key=lambda turn: turn.start - turn.end):
        if sum(each.end - each.start for each in chosen) < ENOUGH:
            chosen.append(turn)
    return sorted(chosen, key=lambda turn: turn.start)


def sound_of(session: SavedSession, path: Path, given: Path | None) -> Path:
    """The sound of a session: as given, else beside it what has its name, else beside it what it listened to.

    Raises:
        FileError: there is none, or it is not as long as the session was.
    """
    beside = [path.with_suffix(".flac"), path.with_suffix(".wav"), path.parent / Path(session.source).name]
    sound = given or next((each for each in beside if each.is_file()), None)
    if sound is None:
        names = ", ".join(safe_text(each.name) for each in beside)
        raise FileError(f"expected the sound of the session beside it ({names}), found none; give it with --sound")
    try:
        heard_s = sf.info(str(sound)).duration
    except (sf.SoundFileError, OSError):
        return sound  # whoever opens it says what is wrong
    last = max((turn.end for turn in session.turns), default=0)
    wanted_s = samples_to_seconds(last if session.duration is None else session.duration)
    off_s = wanted_s - heard_s if session.duration is None else abs(wanted_s - heard_s)
    if off_s > max(TOLERANCE_S, wanted_s / 100) and heard_s < 1e9:  # which says that it is not known
        raise FileError(
            f"expected the sound of the session, {wanted_s:.1f} s, got {heard_s:.1f} s in {safe_text(str(sound))}; "
            "give what --record wrote with --sound"
        )
    return sound


class Excerpt:
    """A source: of a file that is read as fast as it goes, the sound of some turns.

    Args:
        file: the recording, opened.
        turns: in their order.
    """

    latency_samples = 0
    lag_samples = 0  # it waits for whoever is late

    def __init__(self, file: WavReplay, turns: Sequence[Turn]) -> None:
        self._file, self.name, self.rate = file, file.name, file.rate
        self._spans = [tuple(round(at * self.rate / SAMPLE_RATE) for at in (turn.start, turn.end)) for turn in turns]

    @property
    def warning(self) -> str | None:
        """What is missing from the file, in one line; None when it is whole."""
        return self._file.warning

    @property
    def loss(self) -> Loss:
        """Nothing."""
        return self._file.loss

    def stop(self) -> None:
        """Make `blocks` end."""
        self._file.stop()

    def blocks(self) -> Iterator[Block]:
        """The sound of the turns; its clock jumps between them."""
        for block in self._file.blocks():
            end = block.start + len(block.samples)
            for start, stop in self._spans:
                first, last = max(start, block.start), min(stop, end)
                if first < last:
                    yield Block(first, block.samples[first - block.start : last - block.start], self.rate)
            if self._spans and end >= self._spans[-1][1]:
                self._file.stop()

    def __enter__(self) -> "Excerpt":
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)
