"""What travels between the stages, in the order in which it comes to be.

Every record is frozen, says its units, and carries `start`, an integer sample index. Arrays are the
record's own copies. A jump in `start` is lost sound: it is reported as such and never bridged.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE, format_seconds, samples_to_seconds
from stream.text import format_probability, safe_text

__all__ = [
    "UNKNOWN",
    "Block",
    "Embedding",
    "Frames",
    "Gap",
    "Loss",
    "Notice",
    "Scores",
    "Snapshot",
    "Turn",
    "guest_name",
    "guest_number",
]

FloatArray = NDArray[np.float32]

UNKNOWN = "unknown"
"""The name of a voice that nobody enrolled. No person may be called this."""

_GUEST = re.compile("guest-([1-9][0-9]*)")
_NAME_COLUMNS = 10  # lines stay aligned for names of up to this many characters


def guest_name(number: int) -> str:
    """What a stranger is called who was told apart from others. No person may be called this either.

    >>> guest_name(2)
    'guest-2'
    """
    return f"guest-{number}"


def guest_number(name: str) -> int | None:
    """The number of a guest; None if it is another's name.

    >>> guest_number("guest-2"), guest_number("Ann")
    (2, None)
    """
    found = _GUEST.fullmatch(name)
    return int(found[1]) if found else None


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Sound as it came from a source, or after resampling."""

    start: int  # index of the first sample, counted at `rate` since the stream began
    samples: FloatArray  # (n,) mono, full scale is [-1, 1]
    rate: int = SAMPLE_RATE  # samples per second


@dataclass(frozen=True, slots=True)
class Loss:
    """Sound that was lost on the way in. Adds up."""

    overflows: int = 0  # times that PortAudio said it dropped input
    overruns: int = 0  # times that the ring was full because the reader was late
    samples: int = 0  # samples known to be lost, at the source's rate

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(
            self.overflows + other.overflows,
            self.overruns + other.overruns,
            self.samples + other.samples,
        )

    def __bool__(self) -> bool:
        return bool(self.overflows or self.overruns or self.samples)

    def __str__(self) -> str:
        return f"{self.overflows} overflows, {self.overruns} overruns, {self.samples} samples lost"


@dataclass(frozen=True, eq=False, slots=True)
class Frames:
    """MFCC rows, one per 10 ms."""

    start: int  # first sample of the first row's window, at 16 kHz
    mfcc: FloatArray  # (n, n_mfcc)


@dataclass(frozen=True, eq=False, slots=True)
class Embedding:
    """One hop's voice embeddings, one row per window length, all windows ending with this hop."""

    start: int  # first sample of the hop, at 16 kHz
    vectors: FloatArray  # (n_windows, d), unit length; zeros where there is no speech, or nobody asks
    speech_s: FloatArray  # (n_windows,) seconds of speech behind each vector
    speech: float  # mean probability of speech within the hop alone, in [0, 1]
    samples: FloatArray | None = None  # (n,) the hop's sound, n = 1,600 or less at the end; None if nobody put it there
    sums: NDArray[np.float64] | None = None  # (n_sums,) of the hop alone: added up, any hops can be embedded


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """Who may be speaking at one hop."""

    start: int  # first sample of the hop, at 16 kHz
    names: tuple[str, ...]  # the enrolled people, then UNKNOWN
    llr: FloatArray  # (n_windows, len(names)) natural-log likelihood ratio against "unknown"; 0 for UNKNOWN
    probabilities: FloatArray  # (len(names),) posterior over names given that this is speech; sums to 1
    speech: float  # mean probability of speech within the hop alone, in [0, 1]


@dataclass(frozen=True, slots=True)
class Turn:
    """Who spoke, from when to when, and how sure that is."""

    start: int  # first sample, at 16 kHz
    end: int  # one past the last sample, at 16 kHz
    name: str  # an enrolled person, a guest (see `guest_name`), or UNKNOWN
    probability: float  # of `name`, in [0, 1]
    final: bool  # a final turn is never changed
    named_at: int | None = None  # samples heard, at 16 kHz, when `name` was first told; None where nobody listened
    final_at: int | None = None  # samples heard, at 16 kHz, when it was told as final; None if it is not
    overlap: bool = False  # a second voice was heard in it; of the turn that goes on, in its last 2 s
    second: str | None = None  # whose that is: an enrolled person; None where nobody knows

    def __str__(self) -> str:
        """A line for eyes; a guess has a `?` after its name.

        >>> print(Turn(12_800, 86_400, "Sally", 0.64, final=True))
        00:00.8 - 00:05.4  Sally        64 %
        >>> print(Turn(12_800, 86_400, "Sally", 0.64, final=True, overlap=True, second="Rob"))
        00:00.8 - 00:05.4  Sally        64 %  with Rob
        """
        name = safe_text(self.name) + ("" if self.final else "?")
        line = f"{_span(self.start, self.end)}  {name:<{_NAME_COLUMNS}}  {format_probability(self.probability)}"
        return line if self.second is None else f"{line}  with {safe_text(self.second)}"


@dataclass(frozen=True, slots=True)
class Gap:
    """Sound that never came: a jump of the source's clock. The stages begin anew after it."""

    start: int  # first sample missing, at 16 kHz
    end: int  # first sample there again, at 16 kHz

    def __str__(self) -> str:
        """A line for eyes."""
        return f"{_span(self.start, self.end)}  {samples_to_seconds(self.end - self.start):.1f} s of sound lost"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a source says of itself, among its blocks: a microphone went away, came back, or is muted."""

    text: str  # one line, safe to show
    waiting: bool = False  # no sound comes until the next notice
    trouble: bool = False  # something that was wanted is lost for good: it stays on the screen

    def __str__(self) -> str:
        """The line."""
        return self.text


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """All that a screen shows, at one moment. The recognizer replaces it whole; the screen only reads."""

    source: str  # what is being listened to
    now: int  # samples heard so far, at 16 kHz
    level_db: float  # RMS of the last hop, dBFS; -inf in digital silence
    speech: float  # probability that the last hop is speech, in [0, 1]
    names: tuple[str, ...]  # the enrolled people, then the guests so far, then UNKNOWN
    probabilities: tuple[float, ...]  # of each name at the last hop; all 0 in silence
    current: Turn | None  # who speaks now, None in silence; `final` says that the name is settled
    turns: tuple[Turn, ...]  # the last final turns, oldest first, at most 100
    talk_samples: dict[str, int]  # samples each name has talked in final turns
    latency_samples: int  # from a sample's arrival to the first decision that has heard it
    hop_ms: float  # mean wall time that one hop has taken lately
    loss: Loss  # what the source lost
    gaps: int  # jumps in the clock
    done: bool = False  # the stream has ended
    lag_samples: int = 0  # sound, at 16 kHz, that was heard and waits to be looked at
    notice: str = ""  # why no sound comes, while none does
    trouble: str = ""  # what is lost for good: an output that was given up
    clipped: int = 0  # samples of the last hop that stood at full scale


def _span(start: int, end: int) -> str:
    return f"{format_seconds(samples_to_seconds(start))} - {format_seconds(samples_to_seconds(end))}"
