"""The recognizer with its real stages: pieces, gaps, later sound, silence and new names change what they may."""

import csv
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from model.joined import stages_of
from model.profile import Profile
from model.scoring import Scorer
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.decide import DecisionConfig
from stream.recognizer import Recognizer
from stream.records import UNKNOWN, Block, Gap, Loss, Turn
from tests.parity import cuts, split_block
from tests.talk import (
    NAMES,
    ROOT,
    base,
    blocks,
    conversation,
    encoder,
    final,
    recognize,
    stages,
    voices,
    weights,
)

NOISE = ROOT.parent / "shared" / "speech" / "noise"


def spans(turns: list[Turn]) -> list[tuple[int, int, str]]:
    return [(turn.start, turn.end, turn.name) for turn in turns]


def probabilities(turns: list[Turn]) -> list[float]:
    return [turn.probability for turn in turns]


@pytest.fixture(scope="module")
def three_turns() -> np.ndarray:
    return conversation(0, 15)


# -- pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_size_of_the_pieces_changes_no_final_turn(three_turns: np.ndarray, rate: int) -> None:
    samples = three_turns if rate == SAMPLE_RATE else soxr.resample(three_turns, SAMPLE_RATE, rate)
    whole = final(recognize([Block(0, samples, rate)], rate))
    assert [turn.name for turn in whole] == ["Sally", "Rob", "Angus"]
    for sizes in cuts(len(samples), rate // 10)[1:]:  # single samples have a test of their own
        got = final(recognize(split_block(Block(0, samples, rate), sizes), rate))
        assert spans(got) == spans(whole), f"pieces of {sizes[0]}"
        np.testing.assert_allclose(probabilities(got), probabilities(whole), atol=1e-4)


def test_single_samples_change_no_final_turn() -> None:
    said = conversation(0.8, 2.3)
    whole = final(recognize([Block(0, said)]))
    assert len(whole) == 1
    got = final(recognize(blocks(said, 1)))
    assert spans(got) == spans(whole)
    np.testing.assert_allclose(probabilities(got), probabilities(whole), atol=1e-5)


def test_the_size_of_the_pieces_changes_no_guess(three_turns: np.ndarray) -> None:
    first, *others = [recognize(blocks(three_turns, size)) for size in (HOP_SAMPLES, 997, 4_001)]
    assert any(not event.final for event in first if isinstance(event, Turn))
    for events in others:
        assert events == first


# -- gaps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_gap_is_reported_and_not_bridged(three_turns: np.ndarray, rate: int) -> None:
    samples = three_turns if rate == SAMPLE_RATE else soxr.resample(three_turns, SAMPLE_RATE, rate)
    lost, back = 7 * rate, 9 * rate  # in the middle of Rob's turn, who still speaks when it comes back
    sound = [*blocks(samples[:lost], 997, rate=rate), *blocks(samples[back:], 997, back, rate)]
    recognizer = Recognizer(stages(), "test", rate)
    events = [event for block in sound for event in recognizer.push(block, Loss(overruns=1, samples=back - lost))]
    events += recognizer.flush()
    assert [event for event in events if isinstance(event, Gap)] == [Gap(7 * SAMPLE_RATE, 9 * SAMPLE_RATE)]
    at = events.index(Gap(7 * SAMPLE_RATE, 9 * SAMPLE_RATE))
    before, after = events[:at], events[at + 1 :]
    assert all(turn.end <= 7 * SAMPLE_RATE for turn in before)
    assert all(turn.start >= 9 * SAMPLE_RATE for turn in after)
    assert [turn.name for turn in final(before)] == ["Sally", "Rob"]
    assert final(after)[-1].name == "Angus"
    snapshot = recognizer.snapshot
    assert (snapshot.gaps, snapshot.loss, snapshot.done) == (1, Loss(overruns=1, samples=back - lost), True)
    assert snapshot.now == recognizer.duration == 15 * SAMPLE_RATE


def test_after_a_gap_it_begins_anew(three_turns: np.ndarray) -> None:
    back = 9 * SAMPLE_RATE
    events = recognize([*blocks(three_turns[: 7 * SAMPLE_RATE], 1_600), *blocks(three_turns[back:], 1_600, back)])
    alone = recognize(blocks(three_turns[back:], 1_600, back))
    assert events[-len(alone) :] == alone


@pytest.mark.parametrize("more", [0, 671, 672, 1_200, 1_599])
def test_no_turn_reaches_beyond_the_sound(three_turns: np.ndarray, more: int) -> None:
    n = 80 * 1_600 + more  # Rob speaks
    turns = final(recognize([Block(0, three_turns[:n])]))
    assert n - 3_200 < turns[-1].end <= n
    # Not even into a gap of a few samples, behind which the next turn begins at once.
    events = recognize([Block(0, three_turns[:n]), Block(n + 5, three_turns[n + 5 :])])
    for one, following in pairwise(final(events)):
        assert one.end <= following.start


# -- later sound, silence, noise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_s", [3.0, 8.3, 12.7])
def test_later_sound_never_changes_a_final_turn(three_turns: np.ndarray, cut_s: float) -> None:
    n = round(cut_s * SAMPLE_RATE)
    noise = np.random.default_rng(1).normal(0, 0.05, 3 * SAMPLE_RATE).astype(np.float32)
    told = []
    for later in (three_turns[n:], np.zeros(3 * SAMPLE_RATE, np.float32), noise, conversation(28.5, 33)):
        recognizer = Recognizer(stages(), "test", SAMPLE_RATE)
        early = final(event for block in blocks(three_turns[:n], 1_600) for event in recognizer.push(block))
        late = final(event for block in blocks(later, 1_600, n) for event in recognizer.push(block))
        late += final(recognizer.flush())
        assert all(one.end <= following.start for one, following in pairwise([*early, *late]))
        told.append(early)
    assert told[1:] == told[:-1]
    # What is final is no older than the lag, wherever the sound is cut.
    lag = DecisionConfig().lag_hops * HOP_SAMPLES
    whole = final(recognize([Block(0, three_turns)]))
    over = [turn for turn in whole if turn.end + lag + DecisionConfig().pause_hops * HOP_SAMPLES + 3_200 <= n]
    assert told[0][: len(over)] == over


def test_no_two_final_turns_overlap_and_they_come_in_order() -> None:
    turns = final(recognize(blocks(conversation(), 1_600)))
    assert len(turns) > 10
    assert all(turn.start < turn.end for turn in turns)
    assert all(one.end <= following.start for one, following in pairwise(turns))


@pytest.mark.parametrize("level_db", [-np.inf, -60, -40, -20, -6])
@pytest.mark.parametrize("colour", ["white", "pink"])
def test_silence_and_noise_name_nobody(colour: str, level_db: float) -> None:
    n = 6 * SAMPLE_RATE
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(n))
    if colour == "pink":
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, n)
    noise *= 10 ** (level_db / 20) / noise.std()
    assert recognize(blocks(noise.clip(-1, 1).astype(np.float32), 1_600)) == []


def test_the_knock_and_the_telephone_name_nobody() -> None:
    for from_s, to_s in ((24.4, 26.1), (53.0, 54.7)):
        sound = conversation(from_s, to_s)
        assert 10 * np.log10(np.mean(sound**2)) > -45  # there is something to hear
        assert recognize(blocks(sound, 1_600)) == []


@pytest.mark.skipif(not NOISE.exists(), reason="the noise recordings are not here")
def test_recorded_noise_names_nobody() -> None:
    with (NOISE / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        clips = [row["file"] for row in csv.DictReader(file) if row["class"] not in ("Baby cry", "Person sneeze")]
    chosen = clips[:: len(clips) // 20][:20]
    assert len(chosen) == 20
    for clip in chosen:
        samples, rate = sf.read(NOISE / clip, dtype="float32")
        events = recognize(blocks(samples, rate // 10, rate=rate), rate)
        assert {turn.name for turn in final(events)} <= {UNKNOWN}, clip


# -- names -----------------------------------------------------------------------------------------------------------


def test_sound_at_48_khz_has_the_names_that_it_has_at_16_khz(three_turns: np.ndarray) -> None:
    low = final(recognize(blocks(three_turns, 1_600)))
    high = final(recognize(blocks(soxr.resample(three_turns, 16_000, 48_000), 4_800, rate=48_000), 48_000))
    assert [turn.name for turn in high] == [turn.name for turn in low] == ["Sally", "Rob", "Angus"]
    for one, other in zip(low, high, strict=True):
        assert abs(one.start - other.start) <= 2 * HOP_SAMPLES
        assert abs(one.end - other.end) <= 2 * HOP_SAMPLES


def test_a_hop_that_is_no_speech_is_neither_embedded_nor_judged_and_no_turn_misses_it(three_turns: np.ndarray) -> None:
    least, rows = DecisionConfig().speech, encoder().mfcc().push(Block(0, three_turns))
    every, some = (
        [e for each in rows for e in stage.push(each)] for stage in (encoder().stream(), encoder().stream(least))
    )
    scorer, sparing = Scorer(voices(), weights()), Scorer(voices(), weights(), speech=least)
    spared = 0
    for one, other in zip(every, some, strict=True):
        np.testing.assert_array_equal(one.speech_s, other.speech_s)
        (was,), (now,) = scorer.push(one), sparing.push(other)
        if other.speech < least:
            spared += was.llr.any()
            assert not other.vectors.any()
            assert not now.llr.any()
        else:
            np.testing.assert_array_equal(one.vectors, other.vectors)
            np.testing.assert_array_equal(was.llr, now.llr)
    assert spared > 5
    made = stages_of(encoder(), voices())
    all_of_it = replace(
        stages_of(encoder(), voices()), encoder=encoder().stream, scorer=lambda: Scorer(voices(), weights())
    )
    assert recognize(blocks(three_turns, 1_600), made_of=made) == recognize(
        blocks(three_turns, 1_600), made_of=all_of_it
    )


def test_renaming_two_speakers_swaps_their_scores_and_turns(three_turns: np.ndarray) -> None:
    angus, rob, sally = voices()
    swapped = [angus, replace(rob, name="Sally"), replace(sally, name="Rob")]
    other = {"Rob": "Sally", "Sally": "Rob"}
    stage, frames = encoder().stream(), encoder().mfcc().push(Block(0, three_turns))
    embeddings = [embedding for each in frames for embedding in stage.push(each)]
    assert len(embeddings) > 100
    one, two = Scorer(voices(), weights()), Scorer(swapped, weights())
    for embedding in embeddings:
        (was,), (now,) = one.push(embedding), two.push(embedding)
        for at, name in enumerate(was.names):
            there = now.names.index(other.get(name, name))
            np.testing.assert_array_equal(now.llr[:, there], was.llr[:, at])
            assert now.probabilities[there] == was.probabilities[at]
    before = final(recognize(blocks(three_turns, 1_600)))
    after = final(recognize(blocks(three_turns, 1_600), made_of=stages(swapped)))
    assert after == [replace(turn, name=other.get(turn.name, turn.name)) for turn in before]


def test_the_order_of_enrolment_changes_nothing(three_turns: np.ndarray) -> None:
    before = final(recognize(blocks(three_turns, 1_600)))
    after = final(recognize(blocks(three_turns, 1_600), made_of=stages(voices()[::-1])))
    assert spans(after) == spans(before)
    np.testing.assert_allclose(probabilities(after), probabilities(before), atol=1e-5)


def test_saved_and_loaded_the_voices_score_equal_to_the_bit(three_turns: np.ndarray, tmp_path: Path) -> None:
    profile = Profile(tmp_path, base())
    for voice in voices():
        profile.add(voice.name, voice.vectors, voice.speech_s)
    fresh = recognize(blocks(three_turns, 1_600))
    assert recognize(blocks(three_turns, 1_600), made_of=stages(Profile(tmp_path, base()).voices)) == fresh


def test_with_nobody_enrolled_everybody_is_unknown(three_turns: np.ndarray) -> None:
    turns = final(recognize(blocks(three_turns, 1_600), made_of=stages([])))
    assert {turn.name for turn in turns} == {UNKNOWN}
    assert sum(turn.end - turn.start for turn in turns) > 10 * SAMPLE_RATE


# -- the screen, the clock, memory -----------------------------------------------------------------------------------


def test_the_snapshot_says_what_the_turns_say(three_turns: np.ndarray) -> None:
    recognizer = Recognizer(stages(), "talk.wav", SAMPLE_RATE)
    turns: list[Turn] = []
    seen = set()
    for block in blocks(three_turns, 1_600):
        turns += final(recognizer.push(block))
        snapshot = recognizer.snapshot
        assert snapshot.now == block.start + len(block.samples)
        assert snapshot.turns == tuple(turns)
        assert snapshot.names == (*NAMES, UNKNOWN)
        assert sum(snapshot.probabilities) == pytest.approx(
            1 if snapshot.speech >= DecisionConfig().speech else 0, abs=1e-5
        )
        assert not snapshot.done
        if snapshot.current:
            seen.add(snapshot.current.name)
    assert seen >= {"Sally", "Rob", "Angus"}
    turns += final(recognizer.flush())
    snapshot = recognizer.snapshot
    assert snapshot.done
    assert snapshot.current is None
    assert snapshot.talk_samples == {turn.name: turn.end - turn.start for turn in turns}
    assert 0 < snapshot.hop_ms < 100


def test_the_first_guess_comes_within_the_latency_that_is_stated() -> None:
    recognizer = Recognizer(stages(), "test", 48_000, source_latency=4_800)
    at_16_khz = Recognizer(stages(), "test", SAMPLE_RATE)
    assert recognizer.latency_samples > at_16_khz.latency_samples + 1_600
    lag = DecisionConfig().lag_hops * HOP_SAMPLES
    assert at_16_khz.final_latency_samples == at_16_khz.latency_samples + lag
    # However the sound is cut, hop i is scored once `latency_samples` beyond its start are in.
    chain = at_16_khz._chain
    for block in blocks(conversation(0, 3), 160):
        at_16_khz.push(block)
        heard = block.start + len(block.samples)
        assert chain.hops >= (heard - at_16_khz.latency_samples) // HOP_SAMPLES


def test_memory_does_not_grow_with_the_length_of_the_stream() -> None:
    recognizer = Recognizer(stages(), "test", SAMPLE_RATE)
    talk = np.tile(conversation(), 9)[: 10 * 60 * SAMPLE_RATE]
    traced: list[int] = []
    for second, block in enumerate(blocks(talk, SAMPLE_RATE)):
        if second == 60:
            tracemalloc.start()
        recognizer.push(block)
        if second >= 60 and second % 60 == 59:
            traced.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    print(f"traced after each minute: {', '.join(f'{n / 1e3:.0f}' for n in traced)} kB")
    assert recognizer.duration == len(talk) == 10 * 60 * SAMPLE_RATE
    assert len(recognizer.snapshot.turns) == 100
    assert max(traced) < 5e6  # the sums of 300 hops of speech, which the whole turn is judged by, are 3.1 MB
    assert traced[-1] - traced[0] < 100e3  # what the sound of a minute takes is 3.8 MB
