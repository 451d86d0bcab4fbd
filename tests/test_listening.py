"""Listening from a program: any source gives what a session writes, is closed, and bad sound is said to be bad."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest

from model import learn_voice, open_profile, stages_of
from stream import UNKNOWN, Block, Gap, Notice, Turn, listen
from stream.clock import SAMPLE_RATE
from stream.decide import DecisionConfig
from stream.demonstration import ENROLMENT
from stream.errors import DeviceError, EnrolmentError, UsageError
from stream.replay import open_source
from tests.talk import NAMES, blocks, conversation, encoder, final, recognize, stages, voices, write_profile


class Sound:
    """The least that a source must be."""

    name, rate = "pieces", SAMPLE_RATE

    def __init__(self, *pieces: Block | Notice | Exception) -> None:
        self._pieces = pieces

    def blocks(self) -> Iterator[Block | Notice]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Opened(Sound):
    """One that is opened and closed as well."""

    is_open: bool | None = None

    def __enter__(self) -> "Opened":
        self.is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_open = False


def test_it_tells_what_the_recognizer_tells() -> None:
    sound = conversation(0, 15)
    made_of = stages()
    assert [*listen(Sound(*blocks(sound, 1_000)), made_of)] == recognize(blocks(sound, 1_000))


def test_sixty_four_bits_are_taken_as_thirty_two() -> None:
    sound = conversation(0, 6)
    wide = Sound(*blocks(sound.astype(np.float64), 1_600))
    assert [*listen(wide, stages())] == [*listen(Sound(*blocks(sound, 1_600)), stages())]


def test_lost_sound_and_what_a_source_says_come_in_their_order() -> None:
    sound = conversation(0, 10)
    away = Notice("the microphone went away", waiting=True)
    heard = [*listen(Sound(Block(0, sound[:48_000]), away, Block(64_000, sound[64_000:])), stages())]
    [gap] = [each for each in heard if isinstance(each, Gap)]
    assert (gap.start, gap.end) == (48_000, 64_000)
    assert str(gap) == "00:03.0 - 00:04.0  1.0 s of sound lost"
    at = heard.index(away)
    assert final(heard[:at])[-1].name == "Sally"  # who spoke until then is told before
    assert at < heard.index(gap)
    assert str(heard[at]) == "the microphone went away"


def test_a_source_is_open_while_it_is_heard_and_closed_when_the_loop_is_left() -> None:
    source = Opened(*blocks(conversation(0, 6), 1_600))
    decisions = listen(source, stages())
    assert source.is_open is None
    for decision in decisions:
        assert source.is_open
        assert isinstance(decision, Turn)
        break
    decisions.close()  # type: ignore[attr-defined] # a generator
    assert source.is_open is False


def test_what_was_heard_before_a_failure_comes_first() -> None:
    source = Opened(Block(0, conversation(0, 4)), DeviceError("gone"))
    heard: list[Turn | Gap | Notice] = []
    with pytest.raises(DeviceError, match="gone"):
        heard.extend(listen(source, stages()))
    assert [turn.name for turn in final(heard)] == ["Sally"]
    assert source.is_open is False


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(160, np.int16), r"expected float samples \(n,\) from pieces, got \(160,\) of int16; divide"),
        (np.zeros((160, 2), np.float32), r"got \(160, 2\) of float32; take the mean over the channels"),
        (np.full(160, np.nan, np.float32), r"expected finite samples from pieces, got NaN or infinity near 0.1 s"),
    ],
)
def test_sound_that_is_none_is_refused(samples: np.ndarray, said: str) -> None:
    wrong = Sound(Block(1_600, samples))
    with pytest.raises(UsageError, match=said):
        [*listen(wrong, stages())]
    with pytest.raises(UsageError, match=said):
        learn_voice(encoder(), wrong)


def test_a_voice_is_learned_from_all_of_its_sources_and_bears_its_name() -> None:
    whole = learn_voice(encoder(), open_source(ENROLMENT["Rob"], speed=None))
    sound = np.concatenate([block.samples for block in open_source(ENROLMENT["Rob"], speed=None).blocks()])
    both = learn_voice(encoder(), Sound(*blocks(sound[:160_000], 1_600)), Sound(*blocks(sound[160_000:], 1_600, 0)))
    assert both.progress.heard_s == pytest.approx(whole.progress.heard_s)
    voice = both.voice(" Rob ")
    assert (voice.name, voice.has_audio) == ("Rob", False)
    with pytest.raises(UsageError):
        both.voice(UNKNOWN)
    with pytest.raises(EnrolmentError, match=r"heard 0\.0 s"):
        learn_voice(encoder(), Sound(Block(0, np.zeros(16_000, np.float32))))


def test_voices_and_a_profile_of_them_are_heard_alike_and_a_change_is_followed(tmp_path: Path) -> None:
    sound = conversation(0, 15)
    profile = open_profile(encoder(), write_profile(tmp_path / "profile"))
    assert tuple(voice.name for voice in profile.voices) == NAMES
    known = [*listen(Sound(*blocks(sound, 1_600)), stages_of(encoder(), profile))]
    assert known == [*listen(Sound(*blocks(sound, 1_600)), stages_of(encoder(), voices()))]
    assert [turn.name for turn in final(known)] == ["Sally", "Rob", "Angus"]

    def sound_of_a_busy_day() -> Iterator[Block]:
        for block in blocks(sound, 1_600):
            if block.start == 5 * SAMPLE_RATE:
                open_profile(encoder(), tmp_path / "profile").remove("Rob")
            yield block

    changed = final(listen(Sound(*sound_of_a_busy_day()), stages_of(encoder(), profile)))
    assert "Rob" not in {turn.name for turn in changed}


def test_decisions_can_be_told_to_be_other_ones() -> None:
    doubting = stages_of(encoder(), voices(), DecisionConfig(speech=0.999999))
    assert not [*listen(Sound(*blocks(conversation(0, 6), 1_600)), doubting)]
    made = stages_of(encoder(), voices(), DecisionConfig(speech=0.7))
    stages = [make() for make in (made.decide, made.confirm, made.guests, made.overlaps) if make]
    assert [stage.config.speech for stage in stages] == [0.7] * 4  # what no stage embeds, none hears as a voice


def test_a_turn_prints_as_a_line() -> None:
    assert str(Turn(12_800, 86_400, "A\x1b[2J", 0.64, final=False)) == "00:00.8 - 00:05.4  A\ufffd[2J?       64 %"
