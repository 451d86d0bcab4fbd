"""RTTM, the format of diarization scorers: NIST's, RT-09 evaluation plan, appendix A.

    SPEAKER <file id> 1 <start s> <duration s> <NA> <NA> <name> <NA> <NA>

It is separated by white space, so white space in a name or in a file id becomes `_`.
"""

import math
import re
from pathlib import Path

from stream.clock import samples_to_milliseconds, seconds_to_samples
from stream.errors import FileError
from stream.records import Turn
from stream.text import safe_text, system_reason

__all__ = ["format_rttm", "read_rttm", "rttm_name"]

# What else a line of RTTM may be, by the evaluation plan; none of it says who spoke.
_OTHER_RTTM = re.compile(
    ";;.*|A/P|CB|EDIT|FILLER|IP|LEXEME|NON-LEX|NON-SPEECH|NOSCORE|NO_RT_METADATA|SEGMENT|SPKR-INFO|SU"
)


def format_rttm(turn: Turn, file_id: str) -> str:
    """One turn as a line, without its end.

    Args:
        turn: who spoke; its probability and whether it is final are not told.
        file_id: what the turn belongs to, normally the name of the sound file without its ending.

    >>> format_rttm(Turn(16_000, 24_000, "Anna Maria", 0.9, final=True), "talk")
    'SPEAKER talk 1 1.000 0.500 <NA> <NA> Anna_Maria <NA> <NA>'
    """
    # The duration is that between the rounded ends: neighbouring turns still meet when read back.
    start_ms, end_ms = (samples_to_milliseconds(at) for at in (turn.start, turn.end))
    times = f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"
    return f"SPEAKER {rttm_name(file_id)} 1 {times} <NA> <NA> {rttm_name(turn.name)} <NA> <NA>"


def read_rttm(path: str | Path) -> list[Turn]:
    """The speaker turns of an RTTM file, in its order, as final turns of probability 1.

    Lines of other types, comments (`;;`) and empty lines are passed over.

    Args:
        path: a UTF-8 text file.

    Raises:
        FileError: the file cannot be read, or a line is not RTTM; the message names the line.
    """
    shown = safe_text(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {shown}: {system_reason(error)}; give an RTTM file in UTF-8") from error
    turns = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields or _OTHER_RTTM.fullmatch(fields[0]):
            continue
        if fields[0] != "SPEAKER":
            raise FileError(f"{shown}, line {number}: wanted SPEAKER, got {_shown(fields[0])}; correct it")
        if len(fields) < 8:
            raise FileError(f"{shown}, line {number}: wanted at least 8 fields, got {len(fields)}; correct the line")
        try:
            start_s, duration_s = float(fields[3]), float(fields[4])
        except ValueError:
            start_s = duration_s = math.nan
        if not (0 <= start_s < math.inf and 0 <= duration_s < math.inf):
            got = safe_text(f"{fields[3]} {fields[4]}"[:40])
            raise FileError(
                f"{shown}, line {number}: wanted a start and a duration in seconds, got {got!r}; correct it"
            )
        # The sum is rounded once, so that turns that meet in the file meet in samples.
        end = seconds_to_samples(start_s + duration_s)
        turns.append(Turn(seconds_to_samples(start_s), end, fields[7], probability=1.0, final=True))
    return turns


def rttm_name(text: str) -> str:
    """A name or a file id as RTTM has it.

    >>> rttm_name("Anna Maria"), rttm_name("")
    ('Anna_Maria', '<NA>')
    """
    return safe_text("".join("_" if character.isspace() else character for character in text)) or "<NA>"


def _shown(text: str) -> str:
    return repr(safe_text(text[:40]))
