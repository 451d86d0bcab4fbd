"""Fine-tuning: what it learns, what it refuses, and when its head is taken."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from model.encoder import Pooling
from model.fine_tune import FineTuned, fine_tune
from model.head import Head
from model.outcome import Outcome
from model.profile import Profile
from model.scoring import Judge, Scorer, centroid
from stream.clock import SAMPLE_RATE
from stream.errors import EnrolmentError, ProfileError
from stream.recognizer import Recognizer, Stages
from stream.records import UNKNOWN, Turn
from tests.people import vectors
from tests.sound import one_line
from tests.talk import (
    NAMES,
    base,
    blocks,
    content,
    conversation,
    encoder,
    final,
    kept_speech,
    livespeaker,
    reading,
    voices,
    weights,
)


@pytest.fixture(scope="module")
def speech() -> dict[str, list[np.ndarray]]:
    return kept_speech()


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def tuned(speech: dict[str, list[np.ndarray]], told: list[tuple[str, int, int]]) -> FineTuned:
    return fine_tune(speech, encoder(), on_done=lambda *what: told.append(what))


def embedded(samples: np.ndarray, n_hops: int) -> tuple[np.ndarray, np.ndarray]:
    hops = encoder().hops(samples, sample_rate=SAMPLE_RATE)
    sums = [np.sum([hop.sums for hop in hops[at : at + n_hops]], axis=0) for at in range(0, len(hops) - n_hops, n_hops)]
    return Pooling(weights()).embed(np.stack(sums))


def test_a_head_knows_its_people_and_not_a_stranger(tuned: FineTuned):
    people = np.stack([centroid(voice) for voice in voices()])
    judge = Judge(people, weights(), tuned.head)
    said = {"Sally": (0.3, 5.3), "Rob": (6.0, 10.2), "Angus": (10.9, 14.7)}
    for i, name in enumerate(NAMES):
        llr = judge.llr(*embedded(conversation(*said[name]), 20))
        assert (llr.argmax(axis=1) == i).all(), name
        assert (llr[:, i] > 0).all(), name


def test_it_lets_no_more_strangers_in_and_takes_nobody_for_another(tuned: FineTuned):
    assert tuned.after.accepted <= tuned.before.accepted
    assert tuned.after.accuracy >= tuned.before.accuracy
    assert tuned.head.threshold >= 0
    assert not tuned.worse
    # These three are easily told apart without it: it can hardly be surer, and must not be much less sure.
    assert tuned.after.loss < tuned.before.loss + 0.05
    assert tuned.after.confusion.sum() == tuned.before.confusion.sum() > 250


def test_progress_goes_up_to_its_end(tuned: FineTuned, told: list[tuple[str, int, int]]):
    assert tuned.epochs >= 1
    for what in ("listening", "training"):
        done = [done for part, done, _ in told if part == what]
        assert done == sorted(done)
        assert done[-1] == next(total for part, _, total in told if part == what)


def test_the_same_seed_gives_the_same_head(tuned: FineTuned, speech: dict[str, list[np.ndarray]]):
    again = fine_tune(speech, encoder())
    for layer in ("turn", "kernel", "bias"):
        np.testing.assert_allclose(getattr(again.head, layer), getattr(tuned.head, layer), atol=1e-4)


def test_who_comes_first_does_not_matter_to_who_is_who(speech: dict[str, list[np.ndarray]]):
    turned = fine_tune({name: speech[name] for name in reversed(NAMES)}, encoder())
    assert turned.head.people == tuple(reversed(NAMES))
    for i, name in enumerate(reversed(NAMES)):
        rows, _ = embedded(reading(name), 30)
        assert (turned.head.evidence(rows).argmax(axis=1) == i).all()


@pytest.mark.parametrize(
    ("people", "wanted"),
    [(0, "expected two people"), (1, "expected two people"), (2, "expected two references")],
)
def test_too_few_to_learn_from(speech: dict[str, list[np.ndarray]], people: int, wanted: str):
    some = {name: speech[name][:1] for name in NAMES[:people]}
    with pytest.raises(EnrolmentError, match=wanted):
        fine_tune(some, encoder())


def outcome(right: list[int], of: int, strangers: int, loss: float) -> Outcome:
    """So many of each person's windows get the right name, so many of ten strangers a name."""
    n = len(right)
    confusion = np.zeros((n + 1, n + 1), np.int64)
    for i, hits in enumerate(right):
        confusion[i, i], confusion[i, n] = hits, of - hits
    confusion[n, 0], confusion[n, n] = strangers, 10 - strangers
    return Outcome(confusion, loss)


@pytest.mark.parametrize(
    ("after", "better", "worse"),
    [
        (outcome([9, 9], 10, 1, 0.4), True, []),
        (outcome([10, 10], 10, 0, 0.4), True, []),
        (outcome([10, 8], 10, 2, 0.1), True, []),  # a window more or less is chance
        (outcome([10, 7], 10, 0, 0.1), False, [1]),  # all in all better, but not for everybody
        (outcome([10, 10], 10, 3, 0.1), False, []),  # strangers get names
        (outcome([9, 9], 10, 1, 0.6), False, []),  # no surer
    ],
)
def test_a_head_is_taken_only_when_nobody_gets_worse(after: Outcome, better: bool, worse: list[int]):
    layers = np.eye(4, dtype=np.float32), np.zeros((4, 3), np.float32), np.zeros(3, np.float32)
    found = FineTuned(Head(("a", "b"), *layers), outcome([9, 9], 10, 1, 0.5), after, "head", 3)
    assert (found.better, found.worse) == (better, worse)


# -- heads in a profile ------------------------------------------------------------------------------------------------


def a_head(people: tuple[str, ...], d: int = 192, sure: float = 0.0) -> Head:
    n = len(people)
    bias = np.append(np.full(n, sure), 0.0).astype(np.float32)
    return Head(people, np.eye(d, dtype=np.float32), np.zeros((d, n + 1), np.float32), bias, threshold=0.5)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    known = Profile(tmp_path / "profile", base())
    for i, name in enumerate(("Ann", "Bo", "Cy")):
        known.add(name, vectors(i, d=192), [3.0, 3.0, 3.0])
    return known


def ids(profile: Profile) -> tuple[str, ...]:
    return tuple(voice.id for voice in profile.voices)


def test_a_head_comes_back_and_the_one_before_it_too(profile: Profile, tmp_path: Path):
    first, second = a_head(ids(profile), sure=1.0), a_head(ids(profile)[:2], sure=2.0)
    assert [profile.take_head(head) for head in (first, second)] == [1, 2]
    opened = Profile(tmp_path / "profile", base())
    assert opened.head is not None
    assert opened.head.people == second.people
    np.testing.assert_array_equal(opened.head.bias, second.bias)
    assert opened.head.threshold == second.threshold == pytest.approx(0.5)
    assert opened.roll_back() == 1
    assert Profile(tmp_path / "profile", base()).head.people == first.people
    assert profile.roll_back() == 0
    assert profile.head is None
    with pytest.raises(ProfileError, match="got none") as error:
        profile.roll_back()
    one_line(error)
    assert not list((tmp_path / "profile" / "heads").iterdir())


def test_only_the_newest_heads_are_kept(profile: Profile, tmp_path: Path):
    versions = [profile.take_head(a_head(ids(profile))) for _ in range(7)]
    assert versions == list(range(1, 8))
    assert len(list((tmp_path / "profile" / "heads").iterdir())) == 5


def test_removing_somebody_leaves_nothing_of_them_in_a_head(profile: Profile, tmp_path: Path):
    profile.take_head(a_head(ids(profile)[:2]))
    profile.take_head(a_head(ids(profile)))
    profile.remove("Cy")
    assert profile.head_version == 1  # which never heard Cy
    profile.remove("Ann")
    assert profile.head is None
    assert not list((tmp_path / "profile" / "heads").iterdir())


def test_renaming_and_adding_leave_a_head_as_it_is(profile: Profile):
    profile.take_head(a_head(ids(profile)))
    profile.rename("Ann", "Anna")
    profile.add("Dee", vectors(9, d=192), [3.0, 3.0, 3.0])
    profile.add("Bo", vectors(10, d=192), [3.0, 3.0, 3.0])
    assert profile.head is not None
    assert profile.head.people == ids(profile)[:3]


def test_a_head_for_somebody_who_is_gone_is_refused_and_nothing_changed(profile: Profile, tmp_path: Path):
    learned = a_head(ids(profile))
    Profile(tmp_path / "profile", base()).remove("Bo")
    before = content(tmp_path / "profile")
    with pytest.raises(ProfileError, match="run livespeaker fine-tune again"):
        profile.take_head(learned)
    assert content(tmp_path / "profile") == before
    assert profile.head is None


@pytest.mark.parametrize("spoil", [b"", b"no zip", None])
def test_a_damaged_head_is_said_in_one_line(profile: Profile, tmp_path: Path, spoil: bytes | None):
    profile.take_head(a_head(ids(profile)))
    [file] = (tmp_path / "profile" / "heads").iterdir()
    if spoil is None:
        np.savez(file, turn=np.eye(3), kernel=np.array(["x"]), bias=np.zeros(2))
    else:
        file.write_bytes(spoil)
    with pytest.raises(ProfileError, match="damaged: heads/") as error:
        Profile(tmp_path / "profile", base())
    one_line(error)


# -- live --------------------------------------------------------------------------------------------------------------


def test_a_session_uses_a_new_head_from_the_next_second_on(tmp_path: Path):
    known = Profile(tmp_path / "profile", base())
    for voice in voices():
        known.add(voice.name, voice.vectors, voice.speech_s)
    stages = Stages(
        encoder().mfcc,
        encoder().stream,
        lambda: Scorer(known.voices, weights(), known.head),
        changed=known.refresh,
    )
    recognizer = Recognizer(stages, "test", SAMPLE_RATE)
    sound = list(blocks(conversation(0, 15), 1_600))
    events = [event for block in sound[:59] for event in recognizer.push(block)]
    # Elsewhere a head is taken that takes everybody for nobody.
    elsewhere = Profile(tmp_path / "profile", base())
    elsewhere.take_head(a_head(tuple(voice.id for voice in elsewhere.voices), sure=-1e4))
    events += [event for block in sound[59:] for event in recognizer.push(block)] + recognizer.flush()
    names = [turn.name for turn in final(events)]
    assert names[0] == "Sally"
    assert set(names[1:]) == {UNKNOWN}
    assert recognizer.gaps == 0
    turns = final(events)
    assert all(one.end <= other.start for one, other in pairwise(turns))
    assert all(isinstance(event, Turn) for event in events)


def test_the_command_learns_takes_back_and_refuses(tmp_path: Path):
    where = ("--profile", tmp_path / "profile")
    nobody = livespeaker("fine-tune", *where)
    assert nobody.returncode == 1
    [line] = nobody.stderr.splitlines()
    assert "expected two people" in line
    for name in NAMES[:2]:
        file = Path(__file__).parents[1] / "stream" / "demo" / "enrol" / f"{name}.opus"
        assert livespeaker("enroll", name, file, *where).returncode == 0
    done = livespeaker("fine-tune", *where, "--plots", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    taken = "Head 1 is in use" in done.stderr  # or it was no better, and everything is as before
    assert taken != ("Nothing was changed" in done.stderr)
    assert Profile(tmp_path / "profile", base()).head_version == int(taken)
    assert (tmp_path / "pictures" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    told = [line.split("  ")[0] for line in done.stdout.splitlines()]
    for name in (*NAMES[:2], "everybody"):
        assert f"{name}, right" in told
    assert "strangers, named" in told
    if not taken:
        known = Profile(tmp_path / "profile", base())
        known.take_head(a_head(tuple(voice.id for voice in known.voices)))
    assert "No head is in use" in livespeaker("fine-tune", "--rollback", *where).stderr
    again = livespeaker("fine-tune", "--rollback", *where)
    assert again.returncode == 1
    [line] = again.stderr.splitlines()
    assert "got none" in line


def test_people_without_kept_speech_are_named(tmp_path: Path):
    known = Profile(tmp_path / "profile", base())
    for voice in voices()[:2]:
        known.add(voice.name, voice.vectors, voice.speech_s)
    done = livespeaker("fine-tune", "--profile", tmp_path / "profile")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert all(name in line for name in NAMES[:2])
    assert "--no-audio" in line
