"""The profile: it comes back to the bit, follows names and base models, and forgets who is removed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.profile import MAX_REFERENCES, BaseModel, Profile, default_profile
from model.voices import most_useful
from stream.errors import ProfileError, UsageError
from tests.people import (
    BASE,
    OTHER,
    data_files,
    embed,
    named_files,
    refused,
    sound,
    state,
    two_people,
    vectors,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_people(tmp_path / "profile")


def test_saved_and_loaded_is_equal_to_the_bit(folder):
    profile = Profile(folder, BASE)
    ann, bo = profile.voices
    assert ann.vectors.tobytes() == vectors(1).tobytes()
    assert ann.speech_s.tobytes() == np.array([3.0, 2.5, 0.1], np.float32).tobytes()
    assert (ann.name, ann.has_audio, bo.name, bo.has_audio) == ("Ann", True, "Bo", False)
    assert ann.added.endswith("+00:00")
    profile.rename("bo", "Bo")  # writes it again
    assert state(Profile(folder, BASE)) == state(profile)


def test_a_profile_that_is_not_there_is_empty_and_stays_away_until_somebody_is_added(tmp_path):
    folder = tmp_path / "not" / "yet"
    profile = Profile(folder, BASE)
    assert profile.voices == ()
    with pytest.raises(ProfileError) as error:
        profile.remove("Ann")
    refused(error, "'Ann'", "enrol somebody first")
    with pytest.raises(UsageError):
        profile.add("../x", vectors(1), [1, 1, 1])
    with pytest.raises(ValueError, match="length 1"):
        profile.add("Ann", 2 * vectors(1), [1, 1, 1])
    assert not (tmp_path / "not").exists()
    profile.add("Ann", vectors(1), [1, 1, 1])
    assert [voice.name for voice in Profile(folder, BASE).voices] == ["Ann"]


def test_several_calls_add_up_and_the_case_of_a_name_makes_nobody_new(folder):
    profile = Profile(folder, BASE)
    ann = profile.add("ANN", vectors(5), [1, 2, 3])
    assert ann.name == "Ann"
    assert ann.vectors.tobytes() == vectors(1).tobytes() + vectors(5).tobytes()
    assert [voice.name for voice in profile.voices] == ["Ann", "Bo"]
    assert data_files(folder) == named_files(folder)


def test_nobody_can_write_to_a_voice(folder):
    mine = vectors(9)
    voice = Profile(folder, BASE).add("Cy", mine, [1, 1, 1])
    mine[:] = 0
    assert np.linalg.norm(voice.vectors, axis=1) == pytest.approx(1)
    with pytest.raises(ValueError, match="read-only"):
        voice.vectors[0] = 0


def test_at_most_ten_references_stay_and_their_sound_with_them(folder):
    profile = Profile(folder, BASE)
    pool = vectors(7, n=14)
    speech_s = np.linspace(1, 3, 14, dtype=np.float32)
    sounds = [np.full(160, i / 20, np.float32) for i in range(14)]
    for at in range(0, 14, 7):
        voice = profile.add("Cy", pool[at : at + 7], speech_s[at : at + 7], sounds[at : at + 7])
    keep = most_useful(pool, speech_s)
    assert len(keep) == MAX_REFERENCES
    assert voice.vectors.tobytes() == pool[keep].tobytes()
    (cy,) = (p for p in json.loads((folder / "profile.json").read_text())["people"] if p["name"] == "Cy")
    kept = [soundfile.read(folder / "audio" / r["audio"])[0][0] for r in cy["references"]]
    assert kept == pytest.approx([i / 20 for i in keep], abs=1e-4)
    assert data_files(folder) == named_files(folder)


def test_renaming_changes_the_name_and_nothing_else(folder):
    profile = Profile(folder, BASE)
    before, files = state(profile), data_files(folder)
    profile.rename("ann", "Änne")
    profile.rename("Bo", "BO")
    assert [s[1:] for s in state(Profile(folder, BASE))] == [s[1:] for s in before]
    assert [voice.name for voice in profile.voices] == ["Änne", "BO"]
    assert data_files(folder) == files
    with pytest.raises(UsageError) as error:
        profile.rename("BO", "äNNE")
    refused(error, "Änne".casefold()[0], "already", "merge")
    assert [voice.name for voice in Profile(folder, BASE).voices] == ["Änne", "BO"]


def test_removing_leaves_nothing_of_a_person(folder):
    profile = Profile(folder, BASE)
    profile.remove("ann")
    assert [voice.name for voice in Profile(folder, BASE).voices] == ["Bo"]
    left = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert b"Ann" not in left
    assert vectors(1)[0].tobytes() not in left
    assert list((folder / "audio").iterdir()) == []
    profile.remove("Bo")
    assert Profile(folder, OTHER).voices == ()  # nothing is left that another base model could not use
    assert data_files(folder) == set()


def test_merging_makes_one_person_of_two(folder):
    profile = Profile(folder, BASE)
    profile.add("Cy", vectors(3, n=2), [1, 1])
    voice = profile.merge("Bo", "Ann")
    assert voice.vectors.tobytes() == vectors(2, n=1).tobytes() + vectors(1).tobytes()
    assert voice.has_audio
    assert [v.name for v in Profile(folder, BASE).voices] == ["Bo", "Cy"]
    assert data_files(folder) == named_files(folder)
    with pytest.raises(UsageError) as error:
        profile.merge("Bo", "BO")
    refused(error, "twice")


def test_an_unknown_person_is_answered_with_the_known_ones(folder):
    profile = Profile(folder, BASE)
    for call in (
        lambda: profile.remove("Dee\x1b[2J"),
        lambda: profile.rename("Dee", "Eve"),
        lambda: profile.merge("Ann", "Dee"),
        lambda: profile.merge("Dee", "Ann"),
    ):
        with pytest.raises(ProfileError) as error:
            call()
        refused(error, "Dee", "known: Ann, Bo")
    assert [voice.name for voice in Profile(folder, BASE).voices] == ["Ann", "Bo"]


def test_the_default_is_the_users_own(monkeypatch, tmp_path):
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert default_profile() == tmp_path / "livespeaker" / "profile"
    assert default_profile().is_absolute()


def test_the_store_opens_without_the_weight_of_learning():
    code = "import sys, model.profile; print({'tensorflow', 'keras', 'librosa', 'soundfile'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("rows", "speech_s"),
    [
        (np.empty((0, 16), np.float32), []),
        (vectors(1)[0], [1]),
        (vectors(1), [1, 1]),
        (vectors(1) * np.nan, [1, 1, 1]),
        (vectors(1) * 0, [1, 1, 1]),
        (vectors(1), [1, 1, 0]),
        (vectors(1), [1, 1, np.inf]),
        (vectors(1, d=17), [1, 1, 1]),
    ],
)
def test_what_is_no_reference_is_refused_and_leaves_no_trace(rows, speech_s, folder):
    before = state(Profile(folder, BASE))
    with pytest.raises(ValueError, match="wanted"):
        Profile(folder, BASE).add("Ann", rows, speech_s, [sound(1)])
    assert state(Profile(folder, BASE)) == before
    assert data_files(folder) == named_files(folder)


@pytest.mark.parametrize("bad", [np.zeros((2, 5), np.float32), np.zeros(0, np.float32), np.array([np.nan], np.float32)])
def test_what_is_no_sound_is_refused(bad, folder):
    with pytest.raises(ValueError, match="wanted finite sound"):
        Profile(folder, BASE).add("Ann", vectors(1), [1, 1, 1], [bad])


def test_a_profile_of_another_base_model_is_made_again_from_its_sound(tmp_path):
    profile = Profile(tmp_path, BASE)
    first = np.full(3200, -0.9, np.float32)
    second = np.full(1600, 1.5, np.float32)  # too loud: kept clipped, not wrapped around
    profile.add("Ann", vectors(1, n=2), [1, 1], [first, second])
    profile.add("Bo", vectors(2, n=3), [1, 1, 1], [first, second])  # of one voice: one recording
    added = [voice.added for voice in profile.voices]
    again = Profile(tmp_path, OTHER, embed=embed)
    ann, bo = again.voices
    assert ann.vectors.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert ann.speech_s == pytest.approx([0.2, 0.1])
    assert bo.vectors.tolist() == [[1, 0, 0, 0]]
    assert bo.speech_s == pytest.approx([0.3])
    assert [voice.added for voice in again.voices] == added
    assert state(Profile(tmp_path, OTHER)) == state(again)  # written: no sound is needed a second time
    assert data_files(tmp_path) == named_files(tmp_path)
    with pytest.raises(ProfileError) as error:
        Profile(tmp_path, BASE)
    refused(error, "another base model", "abababab", "cdcdcdcd", "--profile")


def test_a_profile_of_another_base_model_without_sound_is_refused_and_kept(folder):
    before = {file: file.read_bytes() for file in folder.rglob("*.*")}
    for other in (OTHER, BaseModel(BASE.sha256, {**BASE.features, "hop_ms": 20})):
        with pytest.raises(ProfileError) as error:
            Profile(folder, other, embed=embed)
        refused(error, "no sound is kept of Bo;")
    assert {file: file.read_bytes() for file in folder.rglob("*.*")} == before


def test_sound_in_which_the_new_base_model_hears_nobody_is_refused(folder):
    Profile(folder, BASE).remove("Bo")
    with pytest.raises(ProfileError) as error:
        Profile(folder, OTHER, embed=lambda _: (np.zeros((1, 4), np.float32), np.zeros(1, np.float32)))
    refused(error, "no speech", "Ann")
    assert len(Profile(folder, BASE).voices) == 1


def test_people_can_be_looked_after_whatever_base_model_made_them(folder):
    profile = Profile(folder, None)
    profile.rename("Bo", "Bob")
    profile.remove("Ann")
    assert [voice.name for voice in Profile(folder, BASE).voices] == ["Bob"]
    with pytest.raises(ValueError, match="base model"):
        profile.add("Cy", vectors(1), [1, 1, 1])
