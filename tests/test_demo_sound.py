"""The demo's sound is what its reference says: turns hold speech, gaps and noises none, and it can be made again."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf

from model import Encoder
from stream.clock import HOP_SAMPLES, SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from stream.records import UNKNOWN, Turn
from stream.rttm import read_rttm

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "stream" / "demo"
PROGRAM = ROOT / "examples" / "make_demo.py"
PEOPLE = {"Angus", "Rob", "Sally"}
MADE_WITH = "flite-2.2"

Stretch = tuple[int, int]  # first sample, one past the last


def read(path: Path) -> np.ndarray:
    samples: np.ndarray
    samples, rate = sf.read(path, dtype="float32")
    assert (rate, samples.ndim) == (SAMPLE_RATE, 1)
    return samples


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


def speech(samples: np.ndarray) -> np.ndarray:
    """Probability of speech for every sample."""
    hops = Encoder.load().hops(samples, sample_rate=SAMPLE_RATE)
    return np.repeat([hop.speech for hop in hops], HOP_SAMPLES)[: len(samples)]


@pytest.fixture(scope="module")
def conversation() -> np.ndarray:
    return read(DEMO / "conversation.opus")


@pytest.fixture(scope="module")
def turns() -> list[Turn]:
    return read_rttm(DEMO / "conversation.rttm")


@pytest.fixture(scope="module")
def gaps(turns: list[Turn], conversation: np.ndarray) -> list[Stretch]:
    """What lies before, between and after the turns."""
    edges = [0, *(edge for turn in turns for edge in (turn.start, turn.end)), len(conversation)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def is_noisy(gap: Stretch) -> bool:
    return samples_to_seconds(gap[1] - gap[0]) > 1.5  # a pause alone lasts 1.2 s at most


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_demo", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- the reference -------------------------------------------------------------------------------------------------


def test_turns_lie_apart_inside_the_conversation(turns: list[Turn], conversation: np.ndarray) -> None:
    assert 50 <= samples_to_seconds(len(conversation)) <= 80
    assert turns[0].start > 0
    assert turns[-1].end < len(conversation)
    for turn, following in pairwise(turns):
        assert samples_to_seconds(following.start - turn.end) >= 0.3


def test_three_people_and_a_stranger_talk_in_short_and_long_turns(turns: list[Turn]) -> None:
    assert {turn.name for turn in turns} == PEOPLE | {UNKNOWN}
    count = Counter(turn.name for turn in turns)
    assert min(count[name] for name in PEOPLE) >= 3
    length_s = [samples_to_seconds(turn.end - turn.start) for turn in turns]
    assert 1.2 <= min(length_s) < 2
    assert 6 < max(length_s) <= 7
    assert np.median(length_s) > 2
    strange_s = [length for length, turn in zip(length_s, turns, strict=True) if turn.name == UNKNOWN]
    assert sum(length > 2.5 for length in strange_s) >= 2


def test_reference_is_in_the_format_that_other_tools_read() -> None:
    for line in (DEMO / "conversation.rttm").read_text().splitlines():
        assert re.fullmatch(r"SPEAKER conversation 1 \d+\.\d{3} \d+\.\d{3} <NA> <NA> \w+ <NA> <NA>", line)


def test_turns_begin_and_end_where_speech_does(turns: list[Turn], conversation: np.ndarray) -> None:
    ms_20 = seconds_to_samples(0.02)
    for turn in turns:
        inside = [conversation[turn.start : turn.start + ms_20], conversation[turn.end - ms_20 : turn.end]]
        before = conversation[turn.start - 2 * ms_20 : turn.start - ms_20]
        after = conversation[turn.end + ms_20 : turn.end + 2 * ms_20]
        assert min(level_db(piece) for piece in inside) > -56
        assert max(level_db(before), level_db(after)) < -57


# -- the sound -----------------------------------------------------------------------------------------------------


def test_turns_stand_well_above_the_gaps_which_are_not_digital_silence(
    turns: list[Turn], gaps: list[Stretch], conversation: np.ndarray
) -> None:
    quiet_db = [level_db(conversation[start:end]) for start, end in gaps if not is_noisy((start, end))]
    turn_db = [level_db(conversation[turn.start : turn.end]) for turn in turns]
    assert -65 < min(quiet_db) <= max(quiet_db) < -57
    assert min(turn_db) > max(quiet_db) + 30
    assert np.abs(conversation).max() < 0.9


def test_people_are_not_equally_loud(turns: list[Turn], conversation: np.ndarray) -> None:
    mean_db = {
        name: np.mean([level_db(conversation[turn.start : turn.end]) for turn in turns if turn.name == name])
        for name in PEOPLE
    }
    assert 2 < max(mean_db.values()) - min(mean_db.values()) < 6


def test_detector_hears_speech_in_every_turn(turns: list[Turn], conversation: np.ndarray) -> None:
    probability = speech(conversation)
    for turn in turns:
        assert probability[turn.start : turn.end].mean() > 0.8, f"{turn.name} at {samples_to_seconds(turn.start)} s"


def test_detector_hears_no_speech_in_gaps_nor_in_the_two_noises(gaps: list[Stretch], conversation: np.ndarray) -> None:
    probability = speech(conversation)
    after_speech = seconds_to_samples(0.3)  # the detector lingers on the last word; the noises begin later
    noisy = [gap for gap in gaps if is_noisy(gap)]
    assert len(noisy) == 2
    for start, end in gaps:
        rest = probability[start + (after_speech if start else 0) : end - HOP_SAMPLES]
        assert rest.max(initial=0) < 0.5, f"gap at {samples_to_seconds(start)} s"
    for start, end in noisy:
        assert level_db(conversation[start:end]) > -45  # a noise that nobody hears would show nothing


# -- enrolment -----------------------------------------------------------------------------------------------------


def test_each_person_but_the_stranger_has_a_reading() -> None:
    assert {path.name for path in (DEMO / "enrol").iterdir()} == {f"{name}.opus" for name in PEOPLE}
    for name in PEOPLE:
        samples = read(DEMO / "enrol" / f"{name}.opus")
        assert 12 <= samples_to_seconds(len(samples)) <= 25
        assert samples_to_seconds(int((speech(samples) > 0.5).sum())) > 12
        assert -30 < level_db(samples) < -18


def test_readings_hold_no_sentence_of_the_conversation(program: ModuleType) -> None:
    def sentences(text: str) -> set[str]:
        return {part.strip().lower() for part in re.split(r"[.?!]", text)} - {""}

    said = set().union(*(sentences(text) for _, _, text in program.SCENE))
    read_out = set().union(*(sentences(text) for texts in program.READINGS.values() for text in texts))
    assert len(said) >= 16
    assert len(read_out) == sum(len(texts) for texts in program.READINGS.values())
    assert not said & read_out


# -- shipping and making -------------------------------------------------------------------------------------------


def test_everything_is_small_and_says_that_it_is_synthetic() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 700_000
    note = (DEMO / "README.md").read_text()
    assert "Synthetic" in note
    assert "flite" in note


def make(folder: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_without_flite_one_line_says_what_to_install(tmp_path: Path) -> None:
    done = make(tmp_path, {"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt install flite" in done.stderr


def flite_version() -> str:
    if shutil.which("flite") is None:
        return "no flite"
    return subprocess.run(["flite", "--version"], capture_output=True, text=True).stdout


@pytest.mark.skipif(MADE_WITH not in flite_version(), reason=f"{MADE_WITH} is not installed")
def test_made_again_it_is_the_same(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "conversation.rttm").read_bytes() == (DEMO / "conversation.rttm").read_bytes()
    shipped = sorted(path.relative_to(DEMO) for path in DEMO.rglob("*.opus"))
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.opus")) == shipped
    for path in shipped:
        # Another build of the codec may round otherwise: 30 dB under the sound, and the same length.
        ours, again = read(DEMO / path), read(tmp_path / path)
        assert level_db(ours - again) < level_db(ours) - 30


def test_a_file_written_twice_is_equal_to_the_byte_and_plays(program: ModuleType, tmp_path: Path) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)
    for name in ("once.opus", "twice.opus"):
        program.write(tmp_path / name, samples)
    assert (tmp_path / "once.opus").read_bytes() == (tmp_path / "twice.opus").read_bytes()
    assert len(read(tmp_path / "once.opus")) == len(samples)  # a page with a wrong checksum would be left out
