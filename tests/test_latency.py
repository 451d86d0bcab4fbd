"""How much sound a turn took: the same whatever the pieces, and what really had been heard."""

from itertools import pairwise

import pytest
import soxr

from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.decide import DecisionConfig
from stream.latency import Stamp
from stream.recognizer import Recognizer
from stream.records import Block, Turn
from tests.parity import cuts, split_block
from tests.talk import blocks, conversation, final, recognize, stages

MFCC_AND_HOP = 352 + HOP_SAMPLES  # what must be heard from the start of a hop before it is scored


def stamps(turns: list[Turn]) -> list[tuple[int | None, int | None]]:
    return [(turn.named_at, turn.final_at) for turn in turns]


def test_a_stamp_is_what_had_been_heard_when_the_turn_came() -> None:
    piece = 32
    recognizer = Recognizer(stages(), "test", SAMPLE_RATE)
    named: dict[tuple[int, str], int] = {}
    seen = 0
    for block in blocks(conversation(0, 8.5), piece):
        heard = block.start + len(block.samples)
        for event in recognizer.push(block):
            assert isinstance(event, Turn)
            first = named.setdefault((event.start, event.name), heard)
            assert event.named_at is not None
            assert first - piece < event.named_at <= first
            assert (event.final_at is not None) == event.final
            if event.final_at is not None:
                seen += 1
                assert heard - piece < event.final_at <= heard
    assert seen == 1
    (rob,) = final(recognizer.flush())
    assert rob.final_at == recognizer.duration  # the sound was over before the turn was
    assert rob.named_at is not None
    assert 0 < rob.named_at - rob.start < SAMPLE_RATE


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("more", [0, 400, 1_300])
def test_the_size_of_the_pieces_changes_no_stamp(rate: int, more: int) -> None:
    said = conversation(0, 11)[: 11 * SAMPLE_RATE - more]  # it ends within a hop
    samples = said if rate == SAMPLE_RATE else soxr.resample(said, SAMPLE_RATE, rate)
    whole = final(recognize([Block(0, samples, rate)], rate))
    assert [turn.name for turn in whole] == ["Sally", "Rob"]
    assert all(turn.named_at is not None and turn.final_at is not None for turn in whole)
    for sizes in cuts(len(samples), rate // 10)[1:]:
        got = final(recognize(split_block(Block(0, samples, rate), sizes), rate))
        assert stamps(got) == stamps(whole), f"pieces of {sizes[0]}"


def test_a_turn_is_final_once_its_silence_is_decided() -> None:
    turns = final(recognize(blocks(conversation(), 1_600)))
    config, exact = DecisionConfig(), 0
    for turn, following in pairwise(turns):
        assert turn.final_at is not None
        by_silence = turn.end + (config.pause_hops + config.lag_hops) * HOP_SAMPLES + MFCC_AND_HOP
        by_voice = following.start + config.lag_hops * HOP_SAMPLES + MFCC_AND_HOP
        # A voice that began in between and was dropped, being too short, ended it sooner.
        at_once = turn.end + config.lag_hops * HOP_SAMPLES + MFCC_AND_HOP
        assert at_once <= turn.final_at <= min(by_silence, by_voice)
        exact += turn.final_at == min(by_silence, by_voice)
    assert exact > 0.8 * (len(turns) - 1)


def test_before_a_gap_only_what_was_heard_counts() -> None:
    said, lost, back = conversation(0, 11), 3 * SAMPLE_RATE, 7 * SAMPLE_RATE
    for size in (997, 1_600, lost):
        events = recognize([*blocks(said[:lost], size), *blocks(said[back:], size, back)])
        sally, rob = final(events)
        assert sally.final_at == lost
        assert rob.named_at is not None
        assert back < rob.named_at < rob.end


def test_the_first_guess_with_the_name_counts() -> None:
    stamp = Stamp()

    def guess(start: int, end: int, name: str) -> Turn:
        return Turn(start, end, name, 0.5, final=False)

    stamp([guess(0, 500, "Ann")], heard=600)  # came to nothing
    stamp([guess(1_000, 1_500, "Ben")], heard=2_000)
    stamp([guess(1_000, 1_600, "Ann")], heard=2_100)
    (again,) = stamp([guess(900, 1_900, "Ben")], heard=2_400)
    assert again.named_at == 2_000  # it only moved its start
    assert again.final_at is None
    ben, ann = stamp(
        [Turn(900, 3_000, "Ben", 0.9, final=True), Turn(3_000, 3_500, "Ann", 0.9, final=True)], heard=9_000
    )
    assert (ben.named_at, ben.final_at) == (2_000, 9_000)
    assert (ann.named_at, ann.final_at) == (9_000, 9_000)  # nobody had guessed it, this time


def test_a_stamp_changes_nothing_else_and_keeps_little() -> None:
    stamp = Stamp()
    for i in range(5_000):
        (turn,) = stamp([Turn(i, i + 10, f"{i}", 0.5, final=False)], heard=i + 20)
        assert (turn.start, turn.end, turn.name, turn.probability, turn.final) == (i, i + 10, f"{i}", 0.5, False)
    assert len(stamp._guesses) <= 1_000
