"""Fine-tuning on a base model: what it learns, when it is taken, and where it is kept."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.base_tune import BaseTuned, tune_base
from model.profile import Profile
from model.window_head import WindowHead, features, window_of
from stream.clock import SAMPLE_RATE
from stream.demonstration import CONVERSATION, ENROLMENT
from stream.errors import EnrolmentError, ProfileError
from stream.mfcc import Mfcc
from stream.records import Block
from tests.bases import constant, learned, loaded, mel, over_mean, saved, window_head
from tests.people import vectors
from tests.sound import one_line
from tests.talk import NAMES, base, content, encoder, kept_speech, livespeaker, reading
from tests.test_fine_tune import a_head, ids


@pytest.fixture(scope="module")
def speech() -> dict[str, list[np.ndarray]]:
    return kept_speech()


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def tuned(
    speech: dict[str, list[np.ndarray]], told: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> BaseTuned:
    one = loaded(learned(), tmp_path_factory.mktemp("base"))
    # Of three splits one is refused: two windows of Angus, of half a second each, become unknown.
    return tune_base(speech, one, encoder(), seed=2, on_done=lambda *what: told.append(what))


def test_a_base_model_learns_the_people(tuned: BaseTuned) -> None:
    ask, shape = tuned.head.open()
    assert tuned.head.people == NAMES
    for i, name in enumerate(NAMES):
        (rows,) = Mfcc(features(shape[-1]), mel()).push(Block(0, reading(name)))
        said = np.stack([ask(window_of(rows.mfcc[at : at + 59], shape)) for at in range(0, len(rows.mfcc) - 59, 59)])
        assert np.mean(said.argmax(axis=1) == i) > 0.8, name


def test_it_is_taken_because_nobody_gets_worse(tuned: BaseTuned) -> None:
    assert tuned.better
    assert not tuned.worse
    assert tuned.after.loss < tuned.before.loss
    assert tuned.after.accepted <= tuned.before.accepted
    assert tuned.after.confusion.sum() == tuned.before.confusion.sum() > 70
    assert tuned.head.opinion.slope > 0


def test_progress_goes_up_to_its_end(tuned: BaseTuned, told: list[tuple[str, int, int]]) -> None:
    assert tuned.epochs >= 1
    for what in ("listening", "training"):
        done = [done for part, done, _ in told if part == what]
        assert done == sorted(done)
        assert done[-1] == next(total for part, _, total in told if part == what)


@pytest.mark.parametrize(
    ("people", "seconds", "wanted"),
    [(1, 3.0, "two people"), (2, None, "two references"), (2, 0.4, "half a second")],
)
def test_too_little_to_learn_from(
    speech: dict[str, list[np.ndarray]], tmp_path: Path, people: int, seconds: float | None, wanted: str
) -> None:
    some = {name: speech[name][: 1 if seconds is None else 3] for name in NAMES[:people]}
    if seconds:
        some = {name: [samples[: int(seconds * SAMPLE_RATE)] for samples in sound] for name, sound in some.items()}
    with pytest.raises(EnrolmentError, match=wanted) as error:
        tune_base(some, loaded(over_mean(), tmp_path), encoder())
    one_line(error)


# -- in a profile ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> WindowHead:
    return window_head(loaded(over_mean(), tmp_path_factory.mktemp("base")), ("a", "b"))


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    known = Profile(tmp_path / "profile", base())
    for i, name in enumerate(("Ann", "Bo", "Cy")):
        known.add(name, vectors(i, d=192), [3.0, 3.0, 3.0])
    return known


def of(head: WindowHead, people: tuple[str, ...]) -> WindowHead:
    return WindowHead(people, head.model, head.mel, head.opinion)


def test_it_comes_back_to_the_bit_and_the_head_before_it_too(
    profile: Profile, head: WindowHead, tmp_path: Path
) -> None:
    profile.take_head(a_head(ids(profile)))
    assert profile.take_head(of(head, ids(profile)[:2])) == 2
    opened = Profile(tmp_path / "profile", base())
    found = opened.head
    assert isinstance(found, WindowHead)
    assert (found.people, found.model, found.opinion) == (ids(profile)[:2], head.model, head.opinion)
    np.testing.assert_array_equal(found.mel, head.mel)
    assert opened.roll_back() == 1
    assert Profile(tmp_path / "profile", base()).head.people == ids(profile)
    assert len(list((tmp_path / "profile" / "heads").iterdir())) == 1


def test_removing_somebody_removes_what_was_learned_of_them(profile: Profile, head: WindowHead, tmp_path: Path) -> None:
    profile.take_head(of(head, ids(profile)[:2]))
    profile.remove("Cy")
    assert profile.head is not None
    profile.remove("Ann")
    assert profile.head is None
    assert not list((tmp_path / "profile" / "heads").iterdir())


def test_heads_from_before_there_were_kinds_are_read(profile: Profile, tmp_path: Path) -> None:
    profile.take_head(a_head(ids(profile)))
    file = tmp_path / "profile" / "profile.json"
    said = json.loads(file.read_text())
    del said["heads"][0]["kind"]
    file.write_text(json.dumps(said))
    assert Profile(tmp_path / "profile", base()).head.people == ids(profile)
    said["heads"][0]["kind"] = "pickle"
    file.write_text(json.dumps(said))
    with pytest.raises(ProfileError, match="unknown kind") as error:
        Profile(tmp_path / "profile", base())
    one_line(error)


def test_a_damaged_one_is_said_in_one_line(profile: Profile, head: WindowHead, tmp_path: Path) -> None:
    profile.take_head(of(head, ids(profile)[:2]))
    [file] = (tmp_path / "profile" / "heads").iterdir()
    arrays = dict(np.load(file))
    for spoil in (
        {"model": arrays["model"].astype(np.float32)},
        {"opinion": np.zeros(2)},
        {"opinion": np.array([1.0, np.nan, 1.0])},
        {"mel": np.zeros((3, 3))},
        {"more": np.zeros(3)},
    ):
        np.savez(file, **arrays | spoil)
        with pytest.raises(ProfileError, match="damaged: heads/") as error:
            Profile(tmp_path / "profile", base())
        one_line(error)


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("home") / "profile"
    for name in NAMES:
        assert livespeaker("enroll", name, ENROLMENT[name], "--profile", where).returncode == 0
    return where


def test_the_command_learns_listens_and_takes_back(enrolled: Path, tmp_path: Path) -> None:
    file = saved(learned(), tmp_path / "mine.keras")
    for seed in "01234":  # one window of one person's decides; which are held out is chance
        done = livespeaker("fine-tune", "--base", file, "--seed", seed, "--profile", enrolled, timeout=600)
        assert done.returncode == 0, done.stderr
        if "Head 1" in done.stderr:
            break
    assert "Head 1 is in use: the last layer of mine.keras" in done.stderr
    assert "strangers" in done.stdout
    code = """
import json, sys
from stream.cli import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    arguments = ["replay", str(CONVERSATION), "--speed", "max", "--profile", str(enrolled)]
    heard = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    *lines, last = heard.stdout.splitlines()
    exit_code, modules = json.loads(last)
    assert exit_code == 0
    assert not {*modules} & {"tensorflow", "keras", "h5py", "librosa", "sklearn", "scipy"}
    for line, name in zip(lines, ("Sally", "Rob", "Angus"), strict=False):
        assert name in line
    other = livespeaker("export", tmp_path / "r.keras", "--profile", enrolled)
    assert other.returncode == 1
    [line] = other.stderr.splitlines()
    assert "without --base" in line
    assert "No head is in use" in livespeaker("fine-tune", "--rollback", "--profile", enrolled).stderr


def test_a_base_model_that_hears_nothing_is_not_taken_and_the_figures_say_so(enrolled: Path, tmp_path: Path) -> None:
    before = content(enrolled)
    file = saved(constant(), tmp_path / "mine.h5")
    done = livespeaker("fine-tune", "--base", file, "--profile", enrolled, timeout=600)
    assert done.returncode == 0, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "Nothing was changed: the new head is no better than none" in line
    assert line.count("before") == 3
    assert content(enrolled) == before


def test_a_file_that_is_refused_ends_with_one_line_and_changes_nothing(enrolled: Path, tmp_path: Path) -> None:
    before = content(enrolled)
    (tmp_path / "mine.keras").write_bytes(b"PK\x05\x06" + bytes(18))
    done = livespeaker("fine-tune", "--base", tmp_path / "mine.keras", "--profile", enrolled)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "a whole Keras model" in line
    assert content(enrolled) == before
