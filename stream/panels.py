"""The parts of the screen, each a pure function from a snapshot to lines of text.

A part is given its `width` in cells and, where it can grow, the most `rows` below its heading; whoever draws it crops
and pads its lines. Nothing jumps when a number grows: every column has its width. Colour only repeats what the text
says.
"""

import math
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from stream.cells import bar, cut, exactly, tame
from stream.clock import SAMPLE_RATE, format_seconds, samples_to_seconds
from stream.records import UNKNOWN, Snapshot, Turn
from stream.text import format_probability

__all__ = ["level_panel", "now_panel", "people_panel", "status_panel", "turns_panel"]

# Okabe and Ito (2008), "Color Universal Design", without those that vanish on a white or a black ground.
_PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
_GOOD, _CAUTION, _ALARM = "#009e73", "#e69f00", "#d55e00"
_NEUTRAL = "#8a8a8a"

_FLOOR_DB = -60.0  # left end of the meter
_QUIET_DB = -45.0  # speech this soft drowns in the noise of most rooms
_LOUD_DB = -18.0
_CLIPPING_DB = -9.0  # speech peaks some 12 dB above its RMS: from here on it is surely clipped
_MUTED_AFTER = 3 * SAMPLE_RATE  # digital silence this long after the last turn is no pause between two turns
_LIKELY = 0.05  # who is at least this likely is not folded away while others can be
_LAG_S = 0.5  # sound that waits this long makes a guess late
_HOP_BUDGET_MS = 100.0  # a hop lasts this long: what takes longer falls behind


def now_panel(snapshot: Snapshot, width: int, *, spacious: bool) -> list[Text]:
    """The box on top. A guess is thin, dim and has a question mark; a sure name is heavy and bold."""
    turn = snapshot.current
    title, shown, value, caption = "now", _waiting_for(snapshot), "", ""
    corners, border, style = "╭─╮│╰╯", "dim", "dim"
    inner = max(width - 2, 0)
    if turn is not None:
        value = format_probability(turn.probability)
        room = inner - 9 - len(value)
        caption = f"since {_clock(turn.start)}, for {samples_to_seconds(turn.end - turn.start):.1f} s"
        if turn.final:
            colour = _dot(snapshot, turn.name)[1]
            title, shown = "speaking", cut(turn.name, room)
            corners, border, style = "┏━┓┃┗┛", colour, f"bold black on {colour}"
            caption = ("a voice that nobody enrolled, " if turn.name == UNKNOWN else "") + caption
        else:
            title, shown, style = "maybe", f"maybe {cut(turn.name, room - 8)} ?", "italic"
            caption = "a guess so far, " + caption

    def row(left: str = "", style: str = "", right: str = "") -> Text:
        content = exactly(Text.assemble("  ", (f" {left} ", style)), inner - len(right) - 3)
        content = exactly(Text.assemble(content, (right, "bold" if border != "dim" else style)), inner)
        return Text.assemble((corners[3], border), content, (corners[3], border))

    head = exactly(Text(f"{corners[1]} {title} ".ljust(inner, corners[1])), inner).plain
    box = [row(shown, style, value), row(caption, "dim")]
    if spacious:
        box = [row(), *box, row()]
    return [
        Text(corners[0] + head + corners[2], border),
        *box,
        Text(corners[4] + corners[1] * inner + corners[5], border),
    ]


def level_panel(snapshot: Snapshot, width: int) -> Text:
    """How loud the last hop was."""
    if snapshot.notice:
        return Text.assemble(("level  ", "dim"), (f"! {cut(snapshot.notice, max(width - 9, 1))}", f"bold {_ALARM}"))
    level_db = snapshot.level_db
    if not level_db > -math.inf:  # digital silence, or no number at all
        quiet_since = snapshot.turns[-1].end if snapshot.turns else 0
        muted = snapshot.current is None and snapshot.now - quiet_since >= _MUTED_AFTER and not snapshot.done
        text = "digital silence: is the microphone muted?" if muted else "digital silence"
        return Text.assemble(("level  ", "dim"), (text, _CAUTION if muted else "dim"))
    if level_db >= _CLIPPING_DB:
        word, colour = "too loud", _ALARM
    elif level_db >= _LOUD_DB:
        word, colour = "loud", _CAUTION
    else:
        word, colour = "good" if level_db >= _QUIET_DB else "quiet", _GOOD
    value = f"  {max(min(level_db, 99.9), -99.9):5.1f} dBFS  "
    speech = f"  speech {format_probability(snapshot.speech)}" if width >= 56 else ""
    meter = bar(1 - level_db / _FLOOR_DB, width - 15 - len(value) - len(speech), colour)
    return Text.assemble(("level  ", "dim"), meter, value, (f"{word:<8}", colour), (speech, "dim"))


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    probability: float  # in [0, 1]
    talked: int  # samples at 16 kHz


def people_panel(snapshot: Snapshot, width: int, rows: int) -> list[Text]:
    """A heading, then everybody in a fixed order; whom `rows` lines cannot hold is folded into the last one."""
    names = list(snapshot.names)
    # A stranger who was given a name during the stream has talked without being enrolled.
    names[-1:-1] = [name for name in snapshot.talk_samples if name not in snapshot.names]
    chances = dict(zip(snapshot.names, snapshot.probabilities, strict=False))
    everybody = [_Person(name, chances.get(name, 0.0), snapshot.talk_samples.get(name, 0)) for name in names]
    shown = _unfolded(everybody, snapshot.current, rows)
    folded = [person for person in everybody if person not in shown]

    fold = f"and {len(folded)} more" if folded else ""
    longest = max(len(fold), *(cell_len(tame(name, 24)) for name in names), 9)
    name_width = min(longest, 24, max(width // 4, 9))
    clock_width = max(len(_clock(snapshot.now)), len("talked"))
    with_talk = width >= 44
    bar_width = width - name_width - 11 - (clock_width + 9 if with_talk else 0)
    total = max(sum(person.talked for person in everybody), 1)

    def line(mark: tuple[str, str], name: str, meter: Text, group: list[_Person]) -> Text:
        chance, samples = sum(person.probability for person in group), sum(person.talked for person in group)
        text = Text.assemble(mark, " ", cut(name, name_width, pad=True), "  ", exactly(meter, bar_width), "  ")
        text.append(format_probability(chance), "" if chance >= 0.005 else "dim")
        if with_talk:
            talked = f"  {_clock(samples):>{clock_width}}  {_percent(samples / total)}"
            text.append(talked, "" if samples else "dim")
        return text

    heading = f"  {'who':<{name_width}}  {'how likely':<{bar_width + 7}}"
    lines = [Text(heading + (f"  {'talked':>{clock_width}}  share" if with_talk else ""), "dim")]
    for person in shown:
        dot = _dot(snapshot, person.name)
        lines.append(line(dot, person.name, bar(person.probability, bar_width, dot[1], rest=" "), [person]))
        if snapshot.current is not None and snapshot.current.name == person.name:
            lines[-1].stylize("bold" if snapshot.current.final else "italic", 2)
    if folded:
        lines.append(line(("…", ""), fold, Text(), folded))
    return lines


def _unfolded(everybody: list[_Person], current: Turn | None, rows: int) -> list[_Person]:
    """Whom to show when there are only `rows` lines, in the given order.

    Who speaks and "unknown" stay, then who is likely, then who has talked most: sorted by the mere
    probability, the people at the bottom would change places ten times a second.
    """
    if len(everybody) <= rows:
        return everybody

    def weight(person: _Person) -> tuple[bool, bool, float, int]:
        speaks = current is not None and current.name == person.name
        likely = person.probability if person.probability >= _LIKELY else 0.0
        return speaks, person.name == UNKNOWN, likely, person.talked

    kept = sorted(everybody, key=weight, reverse=True)[: max(rows - 1, 0)]
    return [person for person in everybody if person in kept]


def turns_panel(snapshot: Snapshot, width: int, rows: int) -> list[Text]:
    """A heading, then the open turn and the last final ones, the newest on top, where the eye finds it."""
    newest = list(reversed(snapshot.turns))
    if snapshot.current is not None and not any(turn.start == snapshot.current.start for turn in newest[:1]):
        newest.insert(0, snapshot.current)
    clock_width = len(_clock(snapshot.now))
    # As wide as it can be, so that the column after it does not move with the names in it.
    name_width = min(max(width - 2 * clock_width - 16, 7), 24)
    lines = [Text("  last turns", "dim")]
    for turn in newest[: max(rows, 0)]:
        name = cut(turn.name, name_width, pad=True)
        if not turn.final:
            name = cut(turn.name, name_width - 2) + " ?"
            name += " " * (name_width - cell_len(name))
        mark = ("✓", _GOOD) if turn.final else ("?", "")
        times = f" {_clock(turn.start):>{clock_width}} - {_clock(turn.end):>{clock_width}}  "
        line = Text.assemble(mark, times, _dot(snapshot, turn.name), f" {name}  {format_probability(turn.probability)}")
        if not turn.final:
            line.stylize("italic dim")
        lines.append(line)
    return lines


def status_panel(snapshot: Snapshot, width: int) -> list[Text]:
    """Where the sound comes from, what it costs, and what was lost: losses stand out, zeros do not."""
    clock = _clock(snapshot.now)
    state = "ended" if snapshot.done else ""
    source = cut(snapshot.source, max(width - len(clock) - len(state) - 4, 1), pad=True)
    loss = snapshot.loss
    hop_ms = snapshot.hop_ms if math.isfinite(snapshot.hop_ms) else 0.0
    lag_s, latency_s = (samples_to_seconds(each) for each in (snapshot.lag_samples, snapshot.latency_samples))
    items = [
        (f"lag {lag_s:.1f} s", True) if lag_s >= _LAG_S else (f"latency {1000 * latency_s:.0f} ms", False),
        (f"{hop_ms:5.1f} ms/hop", hop_ms > _HOP_BUDGET_MS),
        (f"overflows {loss.overflows}", loss.overflows > 0),
        (f"overruns {loss.overruns}", loss.overruns > 0),
        (f"gaps {snapshot.gaps}", snapshot.gaps > 0),
        (f"samples lost {loss.samples}", loss.samples > 0),
    ]
    lines = [Text.assemble((source, ""), "  ", (state, "dim"), "  ", clock), Text()]
    for text, alarming in items:
        text = f"! {text}" if alarming else text
        if lines[-1] and lines[-1].cell_len + 2 + len(text) > width:
            lines.append(Text())
        lines[-1].append("  " if lines[-1] else "").append(text, f"bold {_ALARM}" if alarming else "dim")
    return [Text("─" * width, "dim"), *lines]


def _waiting_for(snapshot: Snapshot) -> str:
    if snapshot.done:
        return "the end"
    if snapshot.notice:
        return "no sound"
    if snapshot.now == 0:
        return "waiting for sound…"
    return "listening…" if snapshot.speech >= 0.5 else "silence"


def _dot(snapshot: Snapshot, name: str) -> tuple[str, str]:
    """The mark of a person and its colour, the same as long as the people are; strangers have a hollow one."""
    if name == UNKNOWN or name not in snapshot.names:
        return "○", _NEUTRAL
    return "●", _PALETTE[snapshot.names.index(name) % len(_PALETTE)]


def _clock(samples: int) -> str:
    return format_seconds(samples_to_seconds(max(samples, 0)))


def _percent(share: float) -> str:
    return f"{100 * share:3.0f} %"
