"""What a session came to: every second that somebody talked is told once, and so is what was lost."""

from stream.records import UNKNOWN, Loss, Turn
from stream.summary import Summary
from tests.test_text import EVIL, harmful

S = 16_000


def summary(*turns: Turn, loss: Loss | None = None, gaps: int = 0, files: tuple[str, ...] = ()) -> list[str]:
    session = Summary("talk.wav")
    for turn in turns:
        session.write(turn)
    session.end(60 * S, loss or Loss(), gaps)
    return list(session.lines(files))


def test_who_talked_how_long_and_strangers_last() -> None:
    assert summary(
        Turn(0, 30 * S, UNKNOWN, 0.9, final=True),
        Turn(30 * S, 32 * S, "Zoë", 0.9, final=False),
        Turn(30 * S, 35 * S, "Zoë", 0.9, final=True),
        Turn(36 * S, 41 * S, "Ann", 0.9, final=True),
        Turn(41 * S, 46 * S, "Ann", 0.9, final=True),
        files=("a.csv",),
    ) == [
        "01:00.0 of talk.wav",
        "  Ann      00:10.0   22 %  2 turns",
        "  Zoë      00:05.0   11 %  1 turn",
        "  unknown  00:30.0   67 %  1 turn",
        "  no sound was lost",
        "  written: a.csv",
    ]


def test_what_was_lost_is_told() -> None:
    assert "  lost on the way: 2 gaps, 3 overflows, 0 overruns, 99 samples lost" in summary(loss=Loss(3, 0, 99), gaps=2)
    assert "  nobody spoke" in summary()


def test_memory_does_not_grow_with_names_and_no_time_is_lost() -> None:
    many = summary(*(Turn(i * S, i * S + S, f"guest-{i}", 0.9, final=True) for i in range(5_000)))
    assert len(many) < 1_010
    (others,) = [line for line in many if "4000 turns" in line]
    assert others.split()[:2] == ["others", "1:06:40.0"]


def test_names_and_files_are_safe_for_the_terminal() -> None:
    assert harmful("".join(summary(Turn(0, S, EVIL, 0.9, final=True), files=(EVIL,)))) == []
