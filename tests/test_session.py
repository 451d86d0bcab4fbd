"""A session from start to end: what is written, in which order, and how it ends by a signal, an error or by itself."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from stream.errors import DeviceError, OutputError
from stream.outputs import JsonLines, Output
from stream.recognizer import Recognizer
from stream.records import Block, Gap, Loss, Notice, Turn
from stream.session import run_session
from tests.people import posix
from tests.talk import blocks, conversation, final, recognize, stages


class Heard:
    """A source that is a list; `stop` ends it, and it can do something before a block."""

    name, rate, latency_samples, lag_samples = "list", 16_000, 0, 0

    def __init__(self, sound: list[Block], *, before: dict[int, object] | None = None) -> None:
        self.loss = Loss()
        self.given = 0
        self._sound, self._before, self._stopped = sound, before or {}, False

    def blocks(self) -> Iterator[Block]:
        for block in self._sound:
            then = self._before.get(self.given)
            if callable(then):
                then()
            if isinstance(then, Exception):
                raise then
            if isinstance(then, Loss):
                self.loss = then
            if self._stopped:
                return
            self.given += 1
            yield block

    def stop(self) -> None:
        self._stopped = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Kept(Output):
    """An output that is a list."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.events: list[Turn | Gap] = []
        self.ended: list[tuple[int, Loss, int]] = []
        self._fails_at = fails_at

    def write(self, turn: Turn) -> None:
        if len(self.events) == self._fails_at:
            raise OutputError("no space is left; make room")
        self.events.append(turn)

    def gap(self, start: int, end: int) -> None:
        self.events.append(Gap(start, end))

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        self.ended.append((duration, loss, gaps))


def recognizer() -> Recognizer:
    return Recognizer(stages(), "list", 16_000)


@pytest.fixture(scope="module")
def sound() -> list[Block]:
    return list(blocks(conversation(0, 8), 1_600))


def test_every_decision_is_written_once_and_in_order(sound: list[Block]) -> None:
    one, two = Kept(), Kept()
    run_session(Heard(sound), recognizer(), [one, two])
    assert one.events == two.events == recognize(sound)
    assert one.ended == two.ended == [(8 * 16_000, Loss(), 0)]


def test_gaps_and_losses_are_told(sound: list[Block]) -> None:
    lost = Loss(overruns=1, samples=16_000)
    source = Heard([*sound[:40], *sound[50:]], before={40: lost})
    kept, listener = Kept(), recognizer()
    run_session(source, listener, [kept])
    assert [event for event in kept.events if isinstance(event, Gap)] == [Gap(64_000, 80_000)]
    assert kept.ended == [(8 * 16_000, lost, 1)]
    assert listener.snapshot.loss == lost


class Lost(Heard):
    """A source that says after 4 s that it is gone, and after that what it is now."""

    def blocks(self) -> Iterator[Block | Notice]:  # type: ignore[override]
        for block in super().blocks():
            if block.start == 64_000:
                yield Notice("it is gone; waiting for it", waiting=True)
                self.name = "another"
                yield Notice("listening to 'another'")
            yield block


def test_a_source_that_waits_is_told_and_ends_the_turn(sound: list[Block]) -> None:
    kept, listener = Kept(), recognizer()
    shown: list[tuple[str, str, int]] = []
    kept.notice = lambda at, text: shown.append((text, listener.snapshot.notice, len(final(kept.events))))  # type: ignore[method-assign]
    run_session(Lost(sound), listener, [kept])
    assert shown == [
        ("it is gone; waiting for it", "it is gone; waiting for it", 1),  # who was speaking is final at once
        ("listening to 'another'", "", 1),
    ]
    assert final(kept.events)[0] == final(recognize(sound[:40]))[0]
    assert listener.snapshot.source == "another"


def test_a_source_that_fails_half_way_loses_nothing_that_was_heard(sound: list[Block], tmp_path: Path) -> None:
    kept = Kept()
    with JsonLines(tmp_path / "out.jsonl", "list") as lines, pytest.raises(DeviceError, match="gone"):
        run_session(Heard(sound, before={40: DeviceError("gone")}), recognizer(), [kept, lines])
    assert kept.events == recognize(sound[:40])
    assert [turn.name for turn in final(kept.events)] == ["Sally"]
    assert kept.ended == [(4 * 16_000, Loss(), 0)]
    assert '"type": "end"' in (tmp_path / "out.jsonl").read_text().splitlines()[-1]


def test_an_output_that_fails_ends_the_session_with_its_reason(sound: list[Block]) -> None:
    source = Heard(sound)
    with pytest.raises(OutputError, match="no space is left"):
        run_session(source, recognizer(), [Kept(fails_at=0)])
    assert source.given < len(sound)


def test_an_output_that_fails_is_given_up_and_the_others_are_told(sound: list[Block]) -> None:
    source, kept, fails = Heard(sound), Kept(), Kept(fails_at=2)
    told: list[str] = []
    kept.notice = lambda at, text: told.append(text)  # type: ignore[method-assign]
    with pytest.raises(OutputError, match="no space is left"):
        run_session(source, recognizer(), [fails, kept])
    assert source.given == len(sound)
    assert kept.events == recognize(sound)
    assert len(kept.ended) == 1
    assert (len(fails.events), fails.ended) == (2, [])
    assert told == ["no space is left; make room"]


def test_a_session_that_is_watched_goes_on_without_outputs(sound: list[Block]) -> None:
    source, listener = Heard(sound), recognizer()
    with pytest.raises(OutputError, match="no space is left"):
        run_session(source, listener, [Kept(fails_at=0)], goes_on_alone=True)
    assert source.given == len(sound)
    assert listener.snapshot.done
    assert listener.snapshot.trouble == "no space is left; make room"
    assert listener.snapshot.notice == ""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_as_if_the_sound_had_run_out(sound: list[Block], number: signal.Signals) -> None:
    before = signal.getsignal(number)
    kept = Kept()
    run_session(Heard(sound, before={40: lambda: os.kill(os.getpid(), number)}), recognizer(), [kept])
    assert kept.events == recognize(sound[:40])
    assert kept.ended == [(4 * 16_000, Loss(), 0)]
    assert signal.getsignal(number) is before


@posix
def test_a_second_interrupt_is_the_last_word(sound: list[Block]) -> None:
    class Deaf(Heard):
        def stop(self) -> None:
            """It hangs."""

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_session(Deaf(sound, before={20: interrupt, 40: interrupt}), recognizer(), [])


@posix
def test_a_hang_up_that_is_to_be_ignored_is_ignored(sound: list[Block]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        kept = Kept()
        run_session(Heard(sound, before={40: lambda: os.kill(os.getpid(), signal.SIGHUP)}), recognizer(), [kept])
        assert kept.ended == [(8 * 16_000, Loss(), 0)]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_runs_in_a_thread_that_hears_no_signals(sound: list[Block]) -> None:
    kept = Kept()
    thread = threading.Thread(target=run_session, args=(Heard(sound), recognizer(), [kept]))
    thread.start()
    thread.join(60)
    assert kept.events == recognize(sound)


def test_a_source_without_sound_ends_cleanly() -> None:
    kept = Kept()
    run_session(Heard([]), recognizer(), [kept])
    assert (kept.events, kept.ended) == ([], [(0, Loss(), 0)])
    run_session(Heard([Block(0, np.zeros(3, np.float32))]), recognizer(), [kept])
    assert kept.events == []


LOUD = """
import os, sys
from stream.quiet import quiet_libraries

with quiet_libraries():
    os.write(2, b"a library speaks\\n")
    print("Python speaks", file=sys.stderr)
    os.system("echo a program speaks >&2")
os.write(2, b"a library speaks again\\n")
print("and Python", file=sys.stderr)
with quiet_libraries():
    raise SystemExit("an error is told")
"""


def test_libraries_are_kept_off_the_screen_and_python_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", LOUD], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Python speaks",
        "a library speaks again",
        "and Python",
        "an error is told",
    ]
