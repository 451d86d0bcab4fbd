"""The bundled conversation, and how well its turns were told."""

from collections.abc import Iterator
from pathlib import Path

from stream.clock import format_seconds, samples_to_seconds
from stream.outputs import Output
from stream.records import UNKNOWN, Loss, Turn, guest_number
from stream.rttm import read_rttm

__all__ = ["CONVERSATION", "ENROLMENT", "Collect", "report"]

_FOLDER = Path(__file__).parent / "demo"

CONVERSATION = _FOLDER / "conversation.opus"
"""Three people and a stranger, about a minute. Synthetic: see demo/README.md."""

ENROLMENT = {file.stem: file for file in sorted((_FOLDER / "enrol").glob("*.opus"))}
"""What each of the three reads beforehand, by name."""


class Collect(Output):
    """Keeps the final turns of a short session, and when each name was first guessed."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.guesses: list[Turn] = []
        self.duration: int | None = None  # samples at 16 kHz that were heard; None before the end

    def end(self, duration: int, loss: Loss, gaps: int) -> None:  # noqa: ARG002 - a file loses nothing
        """Keep how long it was."""
        self.duration = duration

    def write(self, turn: Turn) -> None:
        """Keep it."""
        (self.turns if turn.final else self.guesses).append(turn)

    def close(self) -> None:
        """Nothing is open."""


def report(heard: Collect, program: str) -> Iterator[str]:
    """Lines that put the final turns beside the reference, and say what to do next.

    Args:
        heard: the decisions.
        program: how the user calls livespeaker.
    """
    right = 0
    yield ""
    yield "  from     to       said by    heard as"
    said = read_rttm(CONVERSATION.with_suffix(".rttm"))
    reference = [turn for turn in said if heard.duration is None or turn.end <= heard.duration]
    for turn in reference:
        name = _who(turn, heard.turns)
        found = name == turn.name or (turn.name == UNKNOWN and guest_number(name) is not None)
        right += found
        mark = "" if found else "   <- not right"
        start, end = (format_seconds(samples_to_seconds(at)) for at in (turn.start, turn.end))
        yield f"  {start}  {end}  {turn.name:<10} {name}{mark}"
    yield ""
    if len(reference) < len(said):
        yield f"Stopped before the other {len(said) - len(reference)} turns were over."
    yield f"{right} of {len(reference)} turns have the right name. The voices are synthetic; yours are harder."
    yield ""
    yield "Now with your own voice:"
    yield f"  {program} devices                 # which microphones there are"
    yield f"  {program} enroll YOUR-NAME --mic  # read anything aloud"
    yield f"  {program} live                    # who is speaking, live"


def _who(reference: Turn, turns: list[Turn]) -> str:
    # The name that covers most of the reference turn; "-" when half of it or more has none.
    covered: dict[str, int] = {}
    for turn in turns:
        shared = min(turn.end, reference.end) - max(turn.start, reference.start)
        if shared > 0:
            covered[turn.name] = covered.get(turn.name, 0) + shared
    if 2 * sum(covered.values()) < reference.end - reference.start:
        return "-"
    return max(covered, key=covered.__getitem__)
