"""The parts of the screen, each a pure function from a snapshot to lines of text.

A part is given its `width` in cells and, where it can grow, the most `rows` below its heading; whoever draws it crops
and pads its lines. Nothing jumps when a number grows: every column has its width. Colour only repeats what the text
says.
"""

import math
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

from stream.cells import bar, cut, exactly, tame
from stream.clock import SAMPLE_RATE, format_seconds, samples_to_seconds
from stream.footer import Footer
from stream.letters import LARGE_ROWS, large
from stream.records import UNKNOWN, Snapshot, Turn, guest_number
from stream.text import format_probability

__all__ = [
    "footer_panel",
    "last_minute_panel",
    "level_panel",
    "now_panel",
    "page_panel",
    "people_panel",
    "turns_panel",
]

# Okabe and Ito (2008), "Color Universal Design", without those that vanish on a white or a black ground.
_PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
_GOOD, _CAUTION, _ALARM = "#009e73", "#e69f00", "#d55e00"
_NEUTRAL = "#8a8a8a"

_FLOOR_DB = -60.0  # left end of the meter
_QUIET_DB = -45.0  # speech this soft drowns in the noise of most rooms
_LOUD_DB = -18.0
_CLIPPING_DB = -9.0  # speech peaks some 12 dB above its RMS: from here on it is surely clipped
_MUTED_AFTER = 3 * SAMPLE_RATE  # digital silence this long after the last turn is no pause between two turns
_SPEECH = 0.5  # a hop of at least this mean probability is speech, as in `decide`
_LIKELY = 0.05  # who is at least this likely is not folded away while others can be
_LAG_S = 0.5  # sound that waits this long makes a guess late
_WITH_CELLS = 10  # less has no room for a second name
_HOP_BUDGET_MS = 100.0  # a hop lasts this long: what takes longer falls behind


def now_panel(snapshot: Snapshot, width: int, rows: int) -> list[Text]:
    """The box on top, `rows` lines inside. A guess is small, thin and has a question mark; a sure name is large."""
    turn, inner = snapshot.current, max(width - 2, 0)
    title, value, caption = "now", "", ""
    corners, border, style = "╭─╮│╰╯", "dim", "dim"
    shown = [f" {_waiting_for(snapshot)} "]
    if turn is not None:
        value = format_probability(turn.probability)
        room = inner - 9 - len(value)
        caption = f"since {_clock(turn.start)}, for {samples_to_seconds(turn.end - turn.start):.1f} s"
        if turn.overlap:
            caption += f", with {cut(turn.second, 24)}" if turn.second else ", two voices at once"
        if turn.final:
            border = _dot(snapshot, turn.name)[1]
            title, corners, style = "speaking", "┏━┓┃┗┛", f"bold {border}"
            caption = ("a voice that nobody enrolled, " if turn.name == UNKNOWN else "") + caption
            letters = large(turn.name, room, max((rows - 1) // LARGE_ROWS, 1)) if rows > LARGE_ROWS else None
            shown = [f" {line}" for line in letters] if letters else [f" {cut(turn.name, room)} "]
            if letters is None:
                style = f"bold black on {border}"
        else:
            title, shown, style = "maybe", [f" maybe {cut(turn.name, room - 8)} ? "], "italic"
            caption = "a guess so far, " + caption
    rise = (rows - 1 - len(shown)) // 2  # the name stands in the middle of what the caption leaves
    lines = [*[""] * rise, *shown]
    lines += [""] * (rows - 1 - len(lines))
    box = []
    for at, line in enumerate(lines):
        right = value if at == (rows - 1) // 2 else ""
        content = exactly(Text.assemble("  ", (line, style)), inner - len(right) - 3)
        content = Text.assemble(content, (right, style if border == "dim" else "bold"))
        box.append(exactly(content, inner))
    box.append(exactly(Text.assemble("   ", (caption, "dim")), inner))
    head = exactly(Text(f"{corners[1]} {title} ".ljust(inner, corners[1])), inner).plain
    return [
        Text(corners[0] + head + corners[2], border),
        *(Text.assemble((corners[3], border), line, (corners[3], border)) for line in box),
        Text(corners[4] + corners[1] * inner + corners[5], border),
    ]


def level_panel(snapshot: Snapshot, width: int) -> Text:
    """How loud the last hop was, whether it was cut off at full scale, and whether it is speech."""
    if snapshot.notice:
        return Text.assemble(("level  ", "dim"), (f"! {cut(snapshot.notice, max(width - 9, 1))}", f"bold {_ALARM}"))
    level_db = snapshot.level_db
    if not level_db > -math.inf:  # digital silence, or no number at all
        quiet_since = snapshot.turns[-1].end if snapshot.turns else 0
        muted = snapshot.current is None and snapshot.now - quiet_since >= _MUTED_AFTER and not snapshot.done
        text = "digital silence: is the microphone muted?" if muted else "digital silence"
        return Text.assemble(("level  ", "dim"), (text, _CAUTION if muted else "dim"))
    if snapshot.clipped:
        word, colour = "clipping", _ALARM
    elif level_db >= _CLIPPING_DB:
        word, colour = "too loud", _ALARM
    elif level_db >= _LOUD_DB:
        word, colour = "loud", _CAUTION
    else:
        word, colour = "good" if level_db >= _QUIET_DB else "quiet", _GOOD
    value = f"  {max(min(level_db, 99), -99):3.0f} dBFS  "
    heard = ("● speech ", "") if snapshot.speech >= _SPEECH else ("○ silence", "dim")
    speech = Text.assemble("   ", heard) if width >= 56 else Text()
    meter = bar(1 - level_db / _FLOOR_DB, width - 15 - len(value) - len(speech), colour)
    bold = "bold " if word == "clipping" else ""
    return Text.assemble(("level  ", "dim"), meter, value, (f"{word:<8}", bold + colour), speech)


def last_minute_panel(snapshot: Snapshot, width: int, rows: int) -> list[Text]:
    """Who spoke in the last minute: names above, then `rows` lines of blocks in the people's colours.

    A cell stands for the same stretch of sound as long as it is seen: the picture moves by whole cells and does not
    shimmer.
    """
    left, right = "-60 s ", " now"
    cells = max(width - len(left) - len(right), 1)
    minute = 60 * SAMPLE_RATE
    last = snapshot.now * cells // minute  # the cell that is being filled
    turns = [*snapshot.turns, *filter(None, [_open_turn(snapshot)])]
    owners: list[Turn | None] = [None] * cells
    for turn in turns:
        if turn.end > snapshot.now - 2 * minute:
            first, beyond = (round(at * cells / minute) - (last - cells + 1) for at in (turn.start, turn.end))
            owners[max(first, 0) : max(beyond, 0)] = [turn] * len(owners[max(first, 0) : max(beyond, 0)])
    names, run = Text(), Text()
    told, at = "", 0
    for owner, same in groupby(owners):
        size = len(list(same))
        if owner is None:
            run.append("─" * size, "dim")
        else:
            colour = _dot(snapshot, owner.name)[1]
            block = ("░" if owner.name == UNKNOWN else "▆") if owner.final else "╌"
            run.append(block * size, colour)
            if owner.name != told and at >= names.cell_len:
                told = owner.name
                others = (n for n, other in enumerate(owners) if n > at and other and other.name != told)
                room = next(others, cells + len(right) + 1) - at - 1
                label = cut(told, room) if room >= min(cell_len(told), 3) else ""  # less says nothing
                names.append(" " * (at - names.cell_len)).append(label, colour if owner.final else f"italic {colour}")
        at += size
    indent = " " * len(left)
    lines = [Text.assemble(indent, run) for _ in range(rows - 1)]
    return [Text.assemble(indent, names), *lines, Text.assemble((left, "dim"), run, (right, "dim"))]


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    probability: float  # in [0, 1]
    talked: int  # samples at 16 kHz


def people_panel(snapshot: Snapshot, width: int, rows: int, hint: str = "") -> list[Text]:
    """A heading, then everybody in a fixed order; whom `rows` lines cannot hold is folded into the last one.

    Where nobody is enrolled, `hint` says below how to change that.
    """
    names = list(snapshot.names)
    # A stranger who was given a name during the stream has talked without being enrolled.
    names[-1:-1] = [name for name in snapshot.talk_samples if name not in snapshot.names]
    chances = dict(zip(snapshot.names, snapshot.probabilities, strict=False))
    talked = dict(snapshot.talk_samples)
    if (turn := _open_turn(snapshot)) and turn.final:
        talked[turn.name] = talked.get(turn.name, 0) + turn.end - turn.start
    everybody = [_Person(name, chances.get(name, 0.0), talked.get(name, 0)) for name in names]
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
            told = f"  {_clock(samples):>{clock_width}}  {_percent(samples / total)}"
            text.append(told, "" if samples else "dim")
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
    if hint and all(guest_number(name) for name in snapshot.names[:-1]) and width >= 20:
        lines += [Text(), *(Text(each, "bold") for each in wrap(hint, width - 2))]
    return lines[: rows + 1]


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
    if turn := _open_turn(snapshot):
        newest.insert(0, turn)
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
        if turn.second and (room := width - line.cell_len) >= _WITH_CELLS:
            line.append(cut(f"  with {turn.second}", room))
        if not turn.final:
            line.stylize("italic dim")
        lines.append(line)
    return lines


def footer_panel(snapshot: Snapshot, footer: Footer, width: int) -> list[Text]:
    """Three lines: where the sound comes from; what was just done, or how it goes, in plain words; the keys."""
    clock, state = _clock(snapshot.now), cut(footer.state, max(width // 2, 1)) if footer.state else ""
    if snapshot.done:
        state = "ended"
    tail = Text.assemble(" ", *([(state, "bold"), (" ── ", "dim")] if state else []), clock, (" ─", "dim"))
    rule = Text.assemble(("─ ", "dim"), cut(snapshot.source, max(width - tail.cell_len - 6, 1)), " ")
    rule.append("─" * max(width - rule.cell_len - tail.cell_len, 0), "dim").append_text(tail)
    if footer.asked:
        leave = "   Enter: done   Esc: leave"
        typed = cut(footer.typed, max(width - len("Name: ") - len(leave) - 1, 1)) if footer.typed else ""
        said = Text(cut(footer.asked, width), "bold")
        return [rule, said, Text.assemble(("Name: ", "bold"), typed, ("▏", "blink"), (leave, "dim"))]
    if footer.message:
        style = f"bold {_ALARM}" if footer.alarming else "bold"
        first, *rest = wrap(tame(footer.message, 4 * width), width) or [""]
        said = Text(cut(first, width), style)
        if rest:  # the keys can wait until it has been read
            return [rule, said, Text(cut(" ".join(rest), width), style)]
    else:
        said = _how_it_goes(snapshot, width)
    line = Text()
    for key, does in footer.keys:
        item = f"{'   ' if line else ''}{key} {does}"
        if line.cell_len + len(item) > width:
            continue  # a narrow screen keeps those that fit
        line.append("   " if line else "").append(key, "bold").append(f" {does}", "dim")
    return [rule, said, line]


def _how_it_goes(snapshot: Snapshot, width: int) -> Text:
    """Delay, cost and loss in words. What was lost stands out."""
    if snapshot.trouble:
        return Text(f"! {cut(snapshot.trouble, max(width - 2, 1))}", f"bold {_ALARM}")
    loss = snapshot.loss
    hop_ms = snapshot.hop_ms if math.isfinite(snapshot.hop_ms) else 0.0
    lag_s = samples_to_seconds(snapshot.lag_samples)
    if lag_s >= _LAG_S:
        return Text(f"! lag {lag_s:.1f} s: this machine does not keep up", f"bold {_ALARM}")
    if loss or snapshot.gaps:
        counts = [
            (snapshot.gaps, "gaps"),
            (loss.samples, "samples"),
            (loss.overflows, "overflows"),
            (loss.overruns, "overruns"),
        ]
        told = ", ".join(f"{n} {what}" for n, what in counts if n)
        return Text(f"! sound was lost: {told}", f"bold {_ALARM}")
    if hop_ms > _HOP_BUDGET_MS:
        return Text(f"! too slow for this machine: {hop_ms:.0f} ms of work for 100 ms of sound", f"bold {_ALARM}")
    delay_s = samples_to_seconds(snapshot.latency_samples)
    # What changes all the time comes last: nothing moves when it gets longer.
    work = f", work for 100 ms of sound: {max(hop_ms, 1):.0f} ms"
    said = f"nothing lost, answers after {delay_s:.2f} s"
    return Text(said + work if len(said + work) <= width else said, "dim")


def page_panel(footer: Footer, width: int) -> list[Text]:
    """Help, or a choice, in place of people and turns."""
    return [Text(cut(line, width)) for line in footer.page]


def _open_turn(snapshot: Snapshot) -> Turn | None:
    """Who speaks now, unless that is among the turns that are over."""
    turn, over = snapshot.current, snapshot.turns[-1:]
    return turn if turn and not any(last.start == turn.start for last in over) else None


def _waiting_for(snapshot: Snapshot) -> str:
    if snapshot.done:
        return "the end"
    if snapshot.notice:
        return "no sound"
    if snapshot.now == 0:
        return "waiting for sound…"
    return "listening…" if snapshot.speech >= _SPEECH else "silence"


def _dot(snapshot: Snapshot, name: str) -> tuple[str, str]:
    """The mark of a person and its colour, the same as long as the people are; strangers have a hollow one."""
    if name in snapshot.names[:-1]:
        mark = "○" if guest_number(name) else "●"
        return mark, _PALETTE[snapshot.names.index(name) % len(_PALETTE)]
    strangers = [other for other in snapshot.talk_samples if other not in snapshot.names]
    if name not in strangers:
        return "○", _NEUTRAL
    return "○", _PALETTE[(len(snapshot.names) - 1 + strangers.index(name)) % len(_PALETTE)]


def _clock(samples: int) -> str:
    return format_seconds(samples_to_seconds(max(samples, 0)))


def _percent(share: float) -> str:
    return f"{100 * share:3.0f} %"
