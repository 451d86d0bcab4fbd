"""What keys do to a session, on real sound, and that nothing they ask for can end it."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.guests import Guests
from model.profile import Profile, Voice
from stream.cli_keys import abilities
from stream.clock import SAMPLE_RATE
from stream.controls import Abilities, Controls
from stream.devices import InputDevice
from stream.errors import EnrolmentError
from stream.recognizer import Recognizer
from stream.records import UNKNOWN, Block, Turn
from stream.session import run_session
from stream.steered import Steered
from tests.talk import base, blocks, conversation, encoder, stages, voices, weights, write_profile
from tests.test_session import Heard
from tests.test_text import EVIL, harmful


def cosine(one: Voice, other: Voice) -> float:
    means = [voice.speech_s @ voice.vectors for voice in (one, other)]
    return float(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]))


class Session:
    """A conversation that was heard up to some second, with keys."""

    def __init__(
        self, to_s: float, known: Sequence[str] = (), can: Abilities | None = None, guests: Guests | None = None
    ) -> None:
        self.source = Steered(Heard(list(blocks(conversation(0, to_s), 1_600))))
        people = [voice for voice in voices() if voice.name in known]
        self.recognizer = Recognizer(stages(people, guests=guests), "talk", SAMPLE_RATE)
        self.keys = Controls(self.source, lambda: self.recognizer.snapshot, can)
        run_session(self.source, self.recognizer, [])

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keys.press(key)

    @property
    def message(self) -> str:
        return self.keys.footer().message


def test_who_has_just_spoken_is_enrolled_from_what_was_said(tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    session = Session(5.8, can=abilities(encoder(), folder, Heard([])))  # Sally, unknown
    session.press("e")
    assert session.keys.footer().asked == "Whose voice is this? Now unknown, 5 s heard"
    session.press(*"Sallyx", "backspace", *"?", "backspace", "enter")
    assert session.keys.footer().asked == ""
    assert session.message.startswith("Sally: ")
    (sally,) = Profile(folder, base()).voices
    assert sally.name == "Sally"
    assert sally.has_audio
    assert 3.5 < sally.speech_s.sum() < 5
    alike = {voice.name: cosine(sally, voice) for voice in voices()}
    assert alike["Sally"] > 0.8
    assert max(alike, key=alike.__getitem__) == "Sally"


def test_a_guest_is_adopted_and_a_number_is_not_taken_for_a_name(tmp_path: Path) -> None:
    folder = write_profile(tmp_path / "profile")
    can = abilities(encoder(), folder, Heard([]))
    session = Session(42.4, ("Sally", "Rob", "Angus"), can, Guests(weights()))
    session.press("e")
    assert session.keys.footer().asked == "Whose voice is this? Now guest-1, 4 s heard"
    session.press("enter")
    assert len(Profile(folder, base()).voices) == 3
    session.press("e", *"guest-1", "enter")
    assert "give another name" in session.message
    session.press("e", *"Cleo", "enter")
    assert session.message.startswith("Cleo: ")
    assert Profile(folder, base()).voices[-1].name == "Cleo"


def test_enter_alone_gives_more_of_who_is_known_and_escape_gives_nothing(tmp_path: Path) -> None:
    folder = write_profile(tmp_path / "profile")
    session = Session(10.6, ("Sally", "Rob", "Angus"), abilities(encoder(), folder, Heard([])))
    before = {voice.name: voice.speech_s.sum() for voice in Profile(folder, base()).voices}
    session.press("e")
    assert "Enter alone: more of Rob" in session.keys.footer().asked
    session.press("x", "escape")
    assert {voice.name: voice.speech_s.sum() for voice in Profile(folder, base()).voices} == before
    session.press("e", "enter")
    after = {voice.name: voice.speech_s.sum() for voice in Profile(folder, base()).voices}
    assert after["Rob"] > before["Rob"] + 3
    assert {name: seconds for name, seconds in after.items() if name != "Rob"} == {
        name: seconds for name, seconds in before.items() if name != "Rob"
    }
    session.press("e", *"Sally", "enter")  # but it is Rob's voice
    assert "does not sound like the Sally" in session.message
    session.press("e", *UNKNOWN, "enter")
    assert "give another name" in session.message


def test_a_turn_of_two_voices_makes_nobody(tmp_path: Path) -> None:
    session = Session(10.6, can=abilities(encoder(), tmp_path / "profile", Heard([])))  # 0.6 s between Sally and Rob
    session.press("e")
    assert session.keys.footer().asked == "Whose voice is this? Now unknown, 10 s heard"  # to the decisions it is one
    session.press(*"Rob", "enter")
    assert session.message.startswith("expected one voice in this turn, heard 2 (")
    assert Profile(tmp_path / "profile", base()).voices == ()


def test_a_guest_is_heard_over_all_turns_and_has_no_name_to_keep() -> None:
    heard: list[float] = []

    def enrol(name: str, sound: Sequence[Block], rate: int) -> str:
        heard.append(sum(len(block.samples) for block in sound) / rate)
        return f"{name} is known"

    session = Session(11, can=Abilities(enrol=enrol))
    spoken = [
        Turn(start * SAMPLE_RATE, end * SAMPLE_RATE, name, 0.9, True)
        for start, end, name in [(0, 3, "guest-1"), (3, 6, UNKNOWN), (6, 10, "guest-1")]
    ]
    last = replace(session.recognizer.snapshot, names=("guest-1", UNKNOWN), turns=tuple(spoken), current=None)
    session.keys = Controls(session.source, lambda: last, Abilities(enrol=enrol))
    session.press("e")
    assert session.keys.footer().asked == "Whose voice is this? Now guest-1, 7 s heard"
    session.press("enter")  # nobody is called guest-1
    assert heard == []
    session.press("e", *"Ann", "enter")
    assert heard == [7.0]
    assert session.message == "Ann is known"


def test_too_little_speech_and_none_are_refused_in_a_line() -> None:
    can = Abilities(enrol=lambda name, sound, rate: pytest.fail("nobody is enrolled"))
    session = Session(2.2, can=can)
    session.press("e")
    assert "at least 2 s are needed" in session.message
    assert session.keys.footer().asked == ""
    silent = Session(0.5, can=can)
    silent.press("e")
    assert silent.message == "nobody has spoken yet: press e when somebody has"


def test_keys_that_a_session_cannot_serve_are_not_there() -> None:
    session = Session(1)
    assert [key for key, _ in session.keys.footer().keys] == ["r", "p", "?", "q"]
    before = session.keys.footer()
    session.press("e", "f", "m", "x", "enter", "escape", "宇")
    assert session.keys.footer() is before  # nothing to draw anew
    assert before.hint == ""


def test_a_recording_begins_and_ends_with_r_and_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    session = Session(1, can=Abilities(folder=tmp_path))
    session.press("r")
    assert session.keys.footer().state == "recording"
    session.press("p")
    assert session.keys.footer().state == "paused, recording"
    session.press("p", "r")
    assert session.keys.footer().state == ""
    (file,) = session.source.recorded
    assert session.message == f"recorded: {file}"
    assert Path(file).parent == tmp_path
    lost = Session(1, can=Abilities(folder=tmp_path / "gone"))
    lost.press("r")
    assert "cannot write to" in lost.message
    assert lost.keys.footer().alarming


def test_a_microphone_is_chosen_by_its_number() -> None:
    inputs = [InputDevice(i, f"mic {i}{EVIL}", "ALSA", 1, 48_000, is_default=i == 0) for i in range(12)]
    chosen: list[InputDevice] = []

    class Desk:
        def choose(self, device: InputDevice) -> None:
            chosen.append(device)

    session = Session(1, can=Abilities(microphone=Desk(), list_inputs=lambda: inputs))
    session.press("m")
    page = session.keys.footer().page
    assert page[2].startswith("1  mic 0")
    assert len(page) == 2 + 9
    assert harmful("".join(page)) == []
    session.press("3")
    assert chosen == [inputs[2]]
    assert session.keys.footer().page == ()
    session.press("m", "x", "m", "0", "3")
    assert chosen == [inputs[2]]


def test_help_is_a_page_that_any_key_closes() -> None:
    session = Session(1)
    session.press("?")
    page = session.keys.footer().page
    assert [line[0] for line in page] == ["r", "p", "?", "q"]
    assert "--record FILE" in page[0]
    assert max(map(len, page)) <= 78
    session.press("r")
    assert session.keys.footer().page == ()
    assert not session.source.recording


def test_q_ends_the_session() -> None:
    source = Steered(Heard(list(blocks(conversation(0, 5), 1_600))))
    recognizer = Recognizer(stages([]), "talk", SAMPLE_RATE)
    keys = Controls(source, lambda: recognizer.snapshot)
    heard: list[Block] = []
    for block in source.blocks():
        assert isinstance(block, Block)
        heard.append(block)
        if len(heard) == 3:
            keys.press("q")
    assert len(heard) == 3


def wait_for(session: Session, text: str) -> None:
    deadline = time.monotonic() + 200
    while text not in session.message:
        assert time.monotonic() < deadline, session.message
        time.sleep(0.05)


def test_fine_tuning_runs_beside_and_its_last_line_is_told() -> None:
    say = "import sys; print('table'); print('first', file=sys.stderr); print('Head 2 is in use.', file=sys.stderr)"
    session = Session(1, can=Abilities(fine_tune=[sys.executable, "-c", say]))
    with session.keys:
        session.press("f")
        assert session.keys.footer().state == "fine-tuning"
        wait_for(session, "fine-tuning: Head 2 is in use.")
        assert session.keys.footer().state == ""
        assert not session.keys.footer().alarming


def test_fine_tuning_that_cannot_be_is_told_and_the_end_does_not_wait_for_it(tmp_path: Path) -> None:
    real = abilities(encoder(), tmp_path / "nobody", Heard([])).fine_tune
    assert real is not None
    # Back to a head that is not there: the real command, without the minute that learning takes.
    session = Session(1, can=Abilities(fine_tune=[*real, "--rollback"]))
    with session.keys:
        session.press("f")
        wait_for(session, "fine-tuning: wanted a fine-tuned head to take back")
        assert session.keys.footer().alarming
    endless = Session(1, can=Abilities(fine_tune=[sys.executable, "-c", "import time; time.sleep(1000)"]))
    with endless.keys:
        endless.press("f", "f")
        assert endless.message == "fine-tuning is at work already"
        program = endless.keys._tuning
    assert program is not None
    assert program.wait(10) != 0


def test_an_error_is_a_message_for_a_while() -> None:
    def enrol(name: str, sound: Sequence[Block], rate: int) -> str:
        raise EnrolmentError(f"no {name}\x1b[2J")

    session = Session(8, can=Abilities(enrol=enrol))
    session.press("e", *"Ann", "enter")
    assert session.message == "no Ann\ufffd[2J"
    session.keys._until_s = 0.0  # as if it had been read
    assert session.message == ""
