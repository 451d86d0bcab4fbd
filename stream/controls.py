"""What the keys do while a session runs, and what the screen says of it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from stream.devices import InputDevice
from stream.errors import LivespeakerError
from stream.footer import Footer
from stream.records import UNKNOWN, Block, Snapshot, Turn, guest_number
from stream.steered import Steered
from stream.text import safe_text

__all__ = ["Abilities", "CanChoose", "Controls"]

MIN_SPEECH_S = 2.0
"""Seconds that somebody must have spoken in the last minute before they are asked for a name."""

_MESSAGE_S = 8.0  # how long a message stays
_MOST_LETTERS = 64
_NICE = 5  # of a program that learns while we listen
_KEYS = (
    ("e", "enrol", "give who speaks, or spoke last, a name", "livespeaker enroll NAME FILE"),
    ("f", "fine-tune", "learn, meanwhile, to tell people apart", "livespeaker fine-tune"),
    ("r", "record", "keep the sound from here on, or stop that", "--record FILE"),
    ("p", "pause", "hear nothing, or go on", "--paused"),
    ("m", "microphone", "listen to another one", "--device NAME"),
    ("?", "help", "this page", "livespeaker live --help"),
    ("q", "quit", "end, and tell what it came to", "Ctrl-C"),
)


@runtime_checkable
class CanChoose(Protocol):
    """A microphone that can be exchanged."""

    def choose(self, device: InputDevice) -> None:
        """Listen to this one from now on."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a session can do beyond listening. What is None has no key."""

    enrol: Callable[[str, Sequence[Block], int], str] | None = None  # name, sound, its rate; says what came of it
    fine_tune: Sequence[str] | None = None  # a command, whose last line on standard error says what came of it
    microphone: CanChoose | None = None
    list_inputs: Callable[[], Sequence[InputDevice]] | None = None
    folder: Path = Path()  # where recordings go


class Controls:
    """Takes keys, one at a time, from one thread; `footer` may be asked by another.

    Args:
        source: what is listened to.
        latest: gives the newest snapshot.
        abilities: what can be done.
    """

    def __init__(self, source: Steered, latest: Callable[[], Snapshot], abilities: Abilities | None = None) -> None:
        self._source, self._latest = source, latest
        self._can = can = abilities or Abilities()
        able = {"e": can.enrol, "f": can.fine_tune, "m": can.microphone and can.list_inputs}
        source.on_problem = lambda line: self.say(line, alarming=True)
        keys = tuple((key, word) for key, word, _, _ in _KEYS if able.get(key, True))
        hint = "Nobody is enrolled yet. Let somebody speak for a few seconds, press e, and type their name."
        self._footer = Footer(keys, hint=hint if can.enrol else "")
        self._until_s = 0.0  # when the message has been there long enough
        self._who = ""  # whose name is asked for
        self._suggested = ""  # the name that Enter alone gives
        self._choices: Sequence[InputDevice] = ()
        self._tuning: subprocess.Popen[str] | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (tuning := self._tuning) is not None:
            self._tuning = None
            tuning.terminate()  # it changes nothing before it is done

    def footer(self) -> Footer:
        """What the screen says; the same object as long as nothing changes."""
        with self._lock:
            if self._footer.message and time.monotonic() > self._until_s:
                self._footer = replace(self._footer, message="", alarming=False)
            return self._footer

    def say(self, message: str, *, alarming: bool = False) -> None:
        """Show a line for a while."""
        self._until_s = time.monotonic() + _MESSAGE_S
        self._change(message=safe_text(message), alarming=alarming)

    def press(self, key: str) -> None:
        """Do what a key asks for; what goes wrong is a message."""
        try:
            if self._footer.asked:
                self._type(key)
            elif self._choices:
                self._choose(key)
            elif self._footer.page:
                self._change(page=())
            else:
                self._do(key)
        except LivespeakerError as error:
            self.say(str(error), alarming=True)

    def _do(self, key: str) -> None:
        does = {
            "e": self._ask_name,
            "f": self._fine_tune,
            "r": self._record,
            "p": self._pause,
            "m": self._list_inputs,
            "?": self._help,
            "q": self._source.stop,
        }
        if key in dict(self._footer.keys):
            does[key]()

    # -- enrolling ---------------------------------------------------------------------------------------------------

    def _ask_name(self) -> None:
        snapshot = self._latest()
        turns = _turns(snapshot)
        if not turns:
            self.say("nobody has spoken yet: press e when somebody has", alarming=True)
            return
        self._who = turns[-1].name
        sound = self._sound()
        spoken_s = sum(len(block.samples) for block in sound) / self._source.rate
        if spoken_s < MIN_SPEECH_S:
            self.say(
                f"{spoken_s:.1f} s of this voice were heard, at least {MIN_SPEECH_S:.0f} s are needed: press e later",
                alarming=True,
            )
            return
        who = safe_text(self._who)
        enrolled = self._who in snapshot.names[:-1] and guest_number(self._who) is None
        self._suggested = self._who if enrolled else ""
        more = f"; Enter alone: more of {who}" if self._suggested else ""
        self._change(asked=f"Whose voice is this? Now {who}, {spoken_s:.0f} s heard{more}", typed="", message="")

    def _sound(self) -> list[Block]:
        turns = [turn for turn in _turns(self._latest()) if turn.name == self._who]
        # Everybody who is not known is called unknown: only one turn is one voice.
        return self._source.recent.cut(turns[-1:] if self._who == UNKNOWN else turns)

    def _type(self, key: str) -> None:
        typed = self._footer.typed
        if key == "enter":
            self._change(asked="", typed="")
            name = typed.strip() or self._suggested
            if name and self._can.enrol:
                self.say(self._can.enrol(name, self._sound(), self._source.rate))
        elif key == "escape":
            self._change(asked="", typed="")
        elif key in ("backspace", "clear"):
            self._change(typed=typed[:-1] if key == "backspace" else "")
        elif len(key) == 1 and len(typed) < _MOST_LETTERS:
            self._change(typed=typed + key)

    # -- fine-tuning -------------------------------------------------------------------------------------------------

    def _fine_tune(self) -> None:
        if self._tuning is not None:
            self.say("fine-tuning is at work already", alarming=True)
            return
        # What it writes never meets the screen.
        self._tuning = subprocess.Popen(  # noqa: S603 - our own command
            [*(self._can.fine_tune or ())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            **_apart(),
        )
        if sys.platform != "win32":
            with suppress(OSError):  # it has ended already
                os.setpriority(os.PRIO_PROCESS, self._tuning.pid, _NICE)
        Thread(target=self._wait_for_tuning, args=(self._tuning,), name="fine-tune", daemon=True).start()
        self._show_state()
        self.say("fine-tuning in the background: it takes a minute or two, and the session goes on")

    def _wait_for_tuning(self, tuning: subprocess.Popen[str]) -> None:
        _, said = tuning.communicate()
        if self._tuning is not tuning:
            return  # the session has ended
        self._tuning = None
        self._show_state()
        last = (said.strip().splitlines() or ["it said nothing"])[-1].removeprefix("livespeaker: ")
        self.say(f"fine-tuning: {last}", alarming=tuning.returncode != 0)

    # -- the sound ---------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        if self._source.recording:
            self._source.end_recording()
            self.say(f"recorded: {self._source.recorded[-1]}")
        else:
            path = self._can.folder / f"livespeaker-{datetime.now().astimezone():%Y-%m-%d-%H%M%S}.flac"
            self._source.record(path)
            self.say(f"recording to {path}: r stops it")
        self._show_state()

    def _pause(self) -> None:
        self._source.pause(not self._source.paused)
        self.say("paused: nothing is heard until p is pressed again" if self._source.paused else "listening again")
        self._show_state()

    def _list_inputs(self) -> None:
        self._choices = self._can.list_inputs()[:9] if self._can.list_inputs else ()
        lines = [f"{n}  {safe_text(each.name)} ({each.host_api})" for n, each in enumerate(self._choices, 1)]
        self._change(page=("Which microphone? Press its number; any other key leaves it as it is.", "", *lines))

    def _choose(self, key: str) -> None:
        choices, self._choices = self._choices, ()
        self._change(page=())
        if key.isdecimal() and 1 <= int(key) <= len(choices) and self._can.microphone:
            self._can.microphone.choose(choices[int(key) - 1])
            self.say(f"changing to {choices[int(key) - 1].name}")

    # -- the screen --------------------------------------------------------------------------------------------------

    def _help(self) -> None:
        able = dict(self._footer.keys)
        rows = [(key, what, option) for key, _, what, option in _KEYS if key in able]
        self._change(page=tuple(f"{key}  {what:<40} {option}" for key, what, option in rows))

    def _show_state(self) -> None:
        states = {
            "paused": self._source.paused,
            "recording": self._source.recording,
            "fine-tuning": self._tuning is not None,
        }
        self._change(state=", ".join(state for state, on in states.items() if on))

    def _change(self, **changes: object) -> None:
        with self._lock:
            self._footer = replace(self._footer, **changes)  # type: ignore[arg-type]


def _apart() -> dict[str, Any]:
    """How a program is started that Ctrl-C does not reach, and that leaves the processor to us."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {"process_group": 0}


def _turns(snapshot: Snapshot) -> list[Turn]:
    """The turns so far, the open one last."""
    current = snapshot.current
    over = [turn for turn in snapshot.turns if current is None or turn.start != current.start]
    return [*over, *([current] if current else [])]
