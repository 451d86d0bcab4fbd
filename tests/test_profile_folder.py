"""A profile that somebody damaged, or that the disk does not take, is refused in one line; nothing more is lost."""

import io
import json
import os
import pickle
import random
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model.profile import Profile
from stream.errors import ProfileError
from tests.people import (
    BASE,
    OTHER,
    data_files,
    embed,
    named_files,
    one_line,
    posix,
    refused,
    sound,
    state,
    two_people,
    vectors,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_people(tmp_path / "profile")


def damage(folder: Path, change) -> None:
    manifest = json.loads((folder / "profile.json").read_text())
    change(manifest)
    (folder / "profile.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(schema=2), ["newer livespeaker", "wanted schema 1, got 2", "update"]),
        (lambda m: m.update(schema=0), ["something else", "got 0"]),
        (lambda m: m.update(schema="1"), ["damaged", "schema is a str"]),
        (lambda m: m.pop("schema"), ["damaged", "no schema"]),
        (lambda m: m.pop("people"), ["damaged", "no people"]),
        (lambda m: m.pop("base"), ["damaged", "no base"]),
        (lambda m: m["base"].update(features={"a": "b"}), ["features"]),
        (lambda m: m["people"].append(m["people"][0]), ["twice"]),
        (lambda m: m["people"].append({}), ["damaged"]),
        (lambda m: m["people"].append("Ann"), ["damaged"]),
        (lambda m: m["people"][0].update(name="unknown"), ["unknown"]),
        (lambda m: m["people"][0].update(name="\x1b[2J"), ["name"]),
        (lambda m: m["people"][0].update(name="bO"), ["twice"]),
        (lambda m: m["people"][0].update(id="../x"), ["impossible"]),
        (lambda m: m["people"][0].update(voice="../../x.npz"), ["impossible"]),
        (lambda m: m["people"][0].update(added="yesterday"), ["damaged"]),
        (lambda m: m["people"][0].update(added="2025-11-23\x1b09:30:00+00:00"), ["no time in UTC"]),
        (lambda m: m["people"][0].update(added="2025-11-23T09:30:00"), ["no time in UTC"]),
        (lambda m: m["people"][0]["references"].pop(), ["of Ann", "wanted vectors"]),
        (lambda m: m["people"][0].update(references=[]), ["of Ann", "wanted vectors"]),
        (lambda m: m["people"][0]["references"][0].update(speech_s=float("nan")), ["speech_s"]),
        (lambda m: m["people"][0]["references"][0].update(speech_s=1e300), ["speech_s"]),
        (lambda m: m["people"][0]["references"][0].update(audio="/etc/passwd"), ["impossible"]),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_with_the_reason(change, words, folder):
    profile, files = Profile(folder, BASE), data_files(folder)
    damage(folder, change)
    before = (folder / "profile.json").read_bytes()
    for call in (
        lambda: Profile(folder, BASE),
        lambda: profile.add("Cy", vectors(1), [1, 1, 1]),
        lambda: profile.remove("Bo"),
    ):
        with pytest.raises(ProfileError) as error:
            call()
        refused(error, str(folder), *words)
    assert (folder / "profile.json").read_bytes() == before  # nothing that could be repaired is thrown away
    assert data_files(folder) >= files


def test_a_profile_cut_anywhere_is_refused(folder):
    whole = (folder / "profile.json").read_bytes()
    for end in range(0, len(whole.rstrip()), 7):
        (folder / "profile.json").write_bytes(whole[:end])
        with pytest.raises(ProfileError) as error:
            Profile(folder, BASE)
        refused(error, "damaged", "profile.json", "restore it from a copy")
    (folder / "profile.json").write_bytes(b"[" * 100_000)
    with pytest.raises(ProfileError) as error:
        Profile(folder, BASE)
    refused(error, "damaged")


def npz(**arrays: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def npy(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


class Bomb:
    """Tells when it is unpickled."""

    def __reduce__(self):
        return (exec, ("import os; os.environ['BOMB'] = 'gone off'",))


PICKLE = np.array([Bomb()] * 3, dtype=object)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"not a zip",
        npz(vectors=vectors(1))[:-40],
        npz(vectors=vectors(1))[:100],
        npz(vectors=vectors(1, n=2)),
        npz(vectors=vectors(1)[0]),
        npz(vectors=vectors(1) * np.float32(np.nan)),
        npz(vectors=vectors(1) * np.float32(3)),
        npz(vectors=vectors(1).astype(np.float64)),
        npz(other=vectors(1)),
        npz(vectors=vectors(1, d=8)),
        npz(vectors=PICKLE),
        npy(vectors(1)),
        npy(PICKLE),
        pickle.dumps(Bomb()),
        zipped({"vectors.npy": npy(np.zeros((1 << 21, 16), np.float32))}),  # 128 kB that would become 128 MB
        zipped({"vectors.npy": npy(vectors(1))}, zipfile.ZIP_LZMA),
        zipped({"vectors.npy": npy(vectors(1)), "more.npy": b""}),
    ],
    ids=lambda data: f"{len(data)}-bytes" if data is not None else "missing",
)
def test_a_damaged_voice_is_refused_with_the_person_and_nothing_is_unpickled(data, folder):
    voice = folder / "voices" / json.loads((folder / "profile.json").read_text())["people"][0]["voice"]
    voice.unlink()
    if data is not None:
        voice.write_bytes(data)
    with pytest.raises(ProfileError) as error:
        Profile(folder, BASE)
    refused(error, "damaged", "voices", "restore it from a copy")
    assert "BOMB" not in os.environ


def test_bytes_that_flip_give_an_error_or_the_same_voices(folder):
    before = state(Profile(folder, BASE))
    rng = random.Random(1)
    for file in (folder / "voices").iterdir():
        whole = file.read_bytes()
        for _ in range(200):
            data = bytearray(whole)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            try:
                found = state(Profile(folder, BASE))
            except ProfileError as error:
                one_line(str(error))
            else:
                assert found == before
        file.write_bytes(whole)


@pytest.mark.parametrize("data", [None, b"", b"fLaC" + bytes(100)])
def test_damaged_sound_is_refused_when_it_is_needed(data, folder):
    profile = Profile(folder, BASE)
    profile.remove("Bo")
    file = next((folder / "audio").iterdir())
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ProfileError) as error:
        Profile(folder, OTHER, embed=embed)
    refused(error, "damaged", f"audio/{file.name}")
    assert len(Profile(folder, BASE).voices) == 1  # the base model that it was made with does not need it


def test_a_folder_that_is_a_file_cannot_be_read(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "profile"):
        with pytest.raises(ProfileError) as error:
            Profile(path, BASE).add("Ann", vectors(1), [1, 1, 1])
        refused(error, "profile in", "--profile")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_written_changes_nothing(folder):
    profile = Profile(folder, BASE)
    before = state(profile)
    (folder / "audio").rename(folder / "elsewhere")
    (folder / "audio").write_text("in the way")
    for call in (lambda: profile.remove("Bo"), lambda: profile.add("Cy", vectors(1), [1, 1, 1])):
        with pytest.raises(ProfileError) as error:
            call()
        refused(error, "cannot write", "nothing was changed", "--profile")
    assert state(profile) == before == state(Profile(folder, BASE))


@posix
@pytest.mark.parametrize("room", [100, 1000, 3000])
def test_a_full_disk_changes_nothing_and_leaves_nothing_about(folder, room):
    before = state(Profile(folder, BASE))
    code = f"""
import resource, sys
from pathlib import Path
import numpy as np
import soundfile
from model.profile import BaseModel, Profile
from stream.errors import ProfileError
profile = Profile(Path(sys.argv[1]), BaseModel("ab" * 32, {{"n_mfcc": 30, "hop_ms": 10, "fmax_hz": 7600.5}}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    profile.add("Cy", np.eye(9, 16), np.ones(9), [np.random.default_rng(1).uniform(-1, 1, 2000).astype(np.float32)])
except ProfileError as error:
    print(error)
print([voice.name for voice in profile.voices])
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    message, names = done.stdout.splitlines()
    assert "file too large; nothing was changed; make room" in message
    assert names == "['Ann', 'Bo']"
    assert state(Profile(folder, BASE)) == before
    assert data_files(folder) == named_files(folder)
    assert not (folder / "profile.json.new").exists()


@posix
def test_only_the_owner_can_look_in(folder, tmp_path):
    old = os.umask(0)
    try:
        Profile(tmp_path / "new", BASE).add("Ann", vectors(1), [1, 1, 1], [sound(1)])
    finally:
        os.umask(old)
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_files_of_others_in_the_folder_are_left_alone(folder):
    mine = [folder / "audio" / "holiday.flac", folder / "voices" / "notes.npz", folder / "heads" / "1.npz"]
    leftovers = [folder / "audio" / f"{7:016x}.flac", folder / "voices" / f"{7:016x}.npz", folder / "profile.json.new"]
    for file in mine + leftovers:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    Profile(folder, BASE).add("Cy", vectors(1), [1, 1, 1])
    assert all(file.exists() for file in mine)
    assert not any(file.exists() for file in leftovers)
