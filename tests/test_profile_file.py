"""A profile in one file: it comes back to the bit, and a file that anybody made imports whole or changes nothing."""

import io
import json
import os
import random
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

import model.profile_folder
from model import profile_file
from model.profile import BaseModel, Profile
from model.profile_file import ProfileFile, write_profile_file
from model.profile_folder import ProfileFolder
from stream.errors import ProfileError, UsageError
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
from tests.talk import content

D = 16  # values of a vector in these profiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_people(tmp_path / "profile")


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    write_profile_file(ProfileFolder(folder), tmp_path / "home.livespeaker")
    return tmp_path / "home.livespeaker"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A profile of somebody else, to import into."""
    Profile(tmp_path / "mine", BASE).add("Cy", vectors(7), [1, 2, 3], [sound(7)])
    return tmp_path / "mine"


def take_in(folder: Path, file: Path, base: BaseModel = BASE, *, merge: bool = False, size: int = D) -> Profile:
    profile = Profile(folder, base, embed=embed)
    with ProfileFile(file) as found:
        profile.take_in(found, size, merge=merge)
    return profile


def known(folder: Path) -> dict[str, bytes]:
    """All of a profile but its lock."""
    return {name: data for name, data in content(folder).items() if name != "profile.lock"}


def heard(folder: Path) -> dict[str, list[bytes]]:
    """The sound that is kept of everybody."""
    people = json.loads((folder / "profile.json").read_text())["people"]
    audio = {p["name"]: [r["audio"] for r in p["references"] if r["audio"]] for p in people}
    return {
        who: [soundfile.read(folder / "audio" / name, dtype="int16")[0].tobytes() for name in names]
        for who, names in audio.items()
    }


# -- there and back --------------------------------------------------------------------------------------------------


def test_exported_and_imported_is_equal_to_the_bit_under_names_of_its_own(folder, file, tmp_path):
    there = take_in(tmp_path / "new" / "profile", file)
    before, after = folder, tmp_path / "new" / "profile"
    assert state(there) == state(Profile(before, BASE)) == state(Profile(after, BASE))
    assert [voice.added for voice in there.voices] == [voice.added for voice in Profile(before, BASE).voices]
    assert heard(after) == heard(before)
    assert len(heard(after)["Ann"]) == 3
    assert data_files(after) == named_files(after)
    assert not data_files(after) & data_files(before)
    ids = [[p["id"] for p in json.loads((f / "profile.json").read_text())["people"]] for f in (before, after)]
    assert not {*ids[0]} & {*ids[1]}


def test_one_profile_is_one_file_that_only_its_owner_can_read(folder, file, tmp_path):
    old = os.umask(0)
    try:
        write_profile_file(ProfileFolder(folder), tmp_path / "again")
    finally:
        os.umask(old)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / "again").stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 1 + 2 + 3
    assert {path.name for path in tmp_path.iterdir()} == {"profile", file.name, "again"}


def test_the_sound_can_be_left_out(folder, tmp_path):
    write_profile_file(ProfileFolder(folder), tmp_path / "file", audio=False)
    assert not any("audio" in name for name in zipfile.ZipFile(tmp_path / "file").namelist())
    there = take_in(tmp_path / "new", tmp_path / "file")
    assert [row[:4] for row in state(there)] == [row[:4] for row in state(Profile(folder, BASE))]
    assert not any(voice.has_audio for voice in there.voices)


def test_a_file_that_is_there_is_kept_unless_it_may_go(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError) as error:
        write_profile_file(ProfileFolder(folder), tmp_path / "file")
    refused(error, "wanted a new file", "there already", "--force")
    assert (tmp_path / "file").read_text() == "mine"
    write_profile_file(ProfileFolder(folder), tmp_path / "file", force=True)
    assert len(take_in(tmp_path / "new", tmp_path / "file").voices) == 2


def test_nobody_is_not_exported(folder, tmp_path):
    profile = Profile(folder, BASE)
    profile.remove("Ann")
    profile.remove("Bo")
    for empty in (folder, tmp_path / "nowhere"):
        with pytest.raises(ProfileError) as error:
            write_profile_file(ProfileFolder(empty), tmp_path / "file")
        refused(error, "nobody is in the profile", "enrol somebody first")
    assert {path.name for path in tmp_path.iterdir()} == {"profile"}


def test_a_damaged_profile_is_not_exported(folder, tmp_path):
    next((folder / "audio").iterdir()).write_bytes(b"x")
    with pytest.raises(ProfileError) as error:
        write_profile_file(ProfileFolder(folder), tmp_path / "file")
    refused(error, "damaged", "audio/")
    assert {path.name for path in tmp_path.iterdir()} == {"profile"}
    write_profile_file(ProfileFolder(folder), tmp_path / "file", audio=False)


@pytest.mark.parametrize(
    ("limit", "most"), [("MAX_PEOPLE", 1), ("MAX_FILE_BYTES", 2_820_000), ("ProfileFile.most_samples", 1599)]
)
def test_what_could_not_be_imported_is_not_exported(limit, most, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(f"model.profile_file.{limit}", most)
    with pytest.raises(ProfileError) as error:
        write_profile_file(ProfileFolder(folder), tmp_path / "file")
    refused(error, "wanted at most", "got", "--no-audio")
    assert {path.name for path in tmp_path.iterdir()} == {"profile"}


def test_a_profile_that_changes_while_it_is_read_is_exported_as_it_is_then(folder, tmp_path, monkeypatch):
    whole, changes = ProfileFolder.read_vectors, [lambda: Profile(folder, BASE).merge("Ann", "Bo")]

    def read_vectors(self, person):
        if changes:
            changes.pop()()
        return whole(self, person)

    monkeypatch.setattr(ProfileFolder, "read_vectors", read_vectors)
    write_profile_file(ProfileFolder(folder), tmp_path / "file")
    assert state(take_in(tmp_path / "new", tmp_path / "file")) == state(Profile(folder, BASE))
    assert len(Profile(folder, BASE).voices) == 1


# -- who is known already --------------------------------------------------------------------------------------------


def test_people_are_added_to_those_who_are_there(file, mine):
    profile = take_in(mine, file)
    assert [voice.name for voice in profile.voices] == ["Cy", "Ann", "Bo"]
    assert data_files(mine) == named_files(mine)


def test_a_name_that_is_there_is_refused_and_nobody_is_imported(file, mine):
    Profile(mine, BASE).add("ANN", vectors(8), [1, 1, 1])
    before = known(mine)
    with pytest.raises(UsageError) as error:
        take_in(mine, file)
    refused(error, "got Ann;", "nothing was changed", "--merge")
    assert known(mine) == before


def test_merging_adds_up_as_enrolling_does(file, mine, tmp_path):
    other = Profile(tmp_path / "other", BASE)
    for profile in (other, Profile(mine, BASE)):
        profile.add("ANN", vectors(8, n=9), np.arange(1, 10))
    other.add("Ann", vectors(1), [3.0, 2.5, 0.1], [sound(1), sound(2), sound(3)])
    profile = take_in(mine, file, merge=True)
    assert [voice.name for voice in profile.voices] == ["Cy", "ANN", "Bo"]
    assert state(profile)[1] == state(other)[0]
    assert data_files(mine) == named_files(mine)


def test_a_file_of_another_base_model_is_made_again_from_its_sound_or_refused(file, mine, tmp_path):
    before = known(mine)
    target = Profile(tmp_path / "empty", OTHER)
    with ProfileFile(file) as found, pytest.raises(ProfileError) as error:
        target.take_in(found, 4)
    refused(error, file.name, "another base model", "no sound is kept of Bo;", "export it with its sound")
    assert not (tmp_path / "empty").exists()
    folder = tmp_path / "all heard"
    Profile(folder, BASE).add("Ann", vectors(1), [1, 1, 1], [sound(1), sound(2), sound(3)])
    write_profile_file(ProfileFolder(folder), tmp_path / "file")
    (ann,) = take_in(tmp_path / "empty", tmp_path / "file", OTHER, size=4).voices
    assert ann.vectors.tolist() == [embed(sound(seed))[0][0].tolist() for seed in (1, 2, 3)]
    assert heard(tmp_path / "empty") == heard(folder)
    assert known(mine) == before


# -- what anybody may have made --------------------------------------------------------------------------------------


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(file: Path, parts: dict[str, bytes] | list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(name, data)


def with_manifest(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        parts = members(file)
        manifest = json.loads(parts["profile.json"])
        change(manifest)
        pack(file, {**parts, "profile.json": json.dumps(manifest).encode()})

    return spoil


def with_member(prefix: str, make: Callable[[], bytes], compression: int = zipfile.ZIP_DEFLATED):
    def spoil(file: Path) -> None:
        parts = members(file)
        name = next(name for name in parts if name.startswith(prefix))
        pack(file, {**parts, name: make()}, compression)

    return spoil


def more(name: str, data: bytes = b"x", mode: int = 0o100600) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(info, data)

    return spoil


def twice(file: Path) -> None:
    parts = members(file)
    with pytest.warns(UserWarning, match="Duplicate"):
        pack(file, [*parts.items(), ("profile.json", parts["profile.json"])])


def lying_directory(file: Path) -> None:
    """A megabyte of zeros after the manifest, of which the directory tells nothing."""
    parts = members(file)
    told = len(parts["profile.json"])
    pack(file, {**parts, "profile.json": parts["profile.json"] + bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    data = bytearray(file.read_bytes())
    at = data.index(b"PK\x01\x02")
    assert data[at + 46 : at + 58] == b"profile.json"
    data[at + 24 : at + 28] = struct.pack("<L", told)
    file.write_bytes(data)


def huge_directory(file: Path) -> None:
    """Thousands of empty members, which are nothing but directory."""
    pack(file, {**members(file), **{f"audio/{i:016x}.flac": b"" for i in range(12_000)}})


def zip64_directory(file: Path) -> None:
    """An end record of the large kind, which would overrule the one that was looked at."""
    data = file.read_bytes()
    file.write_bytes(data[:-22] + struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data), 1) + data[-22:])


def flac(samples: np.ndarray, rate: int = 16_000) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, samples, rate, format="FLAC")
    return data.getvalue()


def npz(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(data, vectors=array)
    return data.getvalue()


def cut(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])


class Bomb:
    def __reduce__(self):
        return (exec, ("import os; os.environ['BOMB'] = 'gone off'",))


BAD: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (lambda f: f.unlink(), ["wanted a file that", "no such file", "give another file"]),
    "folder": (lambda f: (f.unlink(), f.mkdir()), ["not a plain file", "give another file"]),
    "empty": (lambda f: f.write_bytes(b""), ["wanted a zip archive", "get the file again"]),
    "text": (lambda f: f.write_text("no zip\n" * 100), ["wanted a zip archive"]),
    "half": (lambda f: cut(f, 0.5), ["wanted a zip archive"]),
    "without its last byte": (lambda f: cut(f, 0.9999), ["wanted a zip archive"]),
    "only an end": (lambda f: f.write_bytes(b"PK\x05\x06" + bytes(18)), ["profile.json"]),
    "other zip": (lambda f: pack(f, {"readme.txt": b"hello"}), ["damaged: profile.json"]),
    "newer": (with_manifest(lambda m: m.update(schema=2)), ["newer livespeaker", "wanted schema 1, got 2", "update"]),
    "strange schema": (with_manifest(lambda m: m.update(schema=10**400)), ["newer livespeaker"]),
    "no json": (with_member("profile.json", lambda: b"{"), ["damaged: profile.json"]),
    "nobody": (with_manifest(lambda m: m.update(people=[])), ["wanted 1 to 1000 people, got 0"]),
    "name that obeys": (with_manifest(lambda m: m["people"][0].update(name="\x1b[2J")), ["damaged", "name"]),
    "same name": (with_manifest(lambda m: m["people"][0].update(name="BO")), ["twice"]),
    "shared file": (
        with_manifest(lambda m: m["people"][1]["references"][0].update(m["people"][0]["references"][0])),
        ["wanted every file to belong to one person"],
    ),
    "too many references": (
        with_manifest(lambda m: m["people"][1].update(references=m["people"][1]["references"] * 11)),
        ["wanted at most 10 references"],
    ),
    "path in the manifest": (with_manifest(lambda m: m["people"][0].update(voice="../../x.npz")), ["impossible"]),
    "path in the archive": (more("../../evil.npz"), ["wanted exactly the files", "evil"]),
    "absolute path": (more("/tmp/evil.npz"), ["wanted exactly the files", "evil"]),
    "terminal in a path": (more("\x1b[2J"), ["wanted exactly the files"]),
    "file nobody names": (more("audio/0123456789abcdef.flac"), ["wanted exactly the files"]),
    "link": (more("voices/0123456789abcdef.npz", b"/etc/passwd", 0o120777), ["wanted plain files"]),
    "twice": (twice, ["none of them twice"]),
    "directory that lies": (lying_directory, ["damaged: profile.json"]),
    "huge directory": (huge_directory, ["wanted at most 11001 files"]),
    "large directory of another kind": (zip64_directory, ["wanted at most 11001 files"]),
    "voice missing": (lambda f: pack(f, dict([*members(f).items()][:1])), ["wanted exactly the files"]),
    "bomb": (with_member("audio", lambda: bytes(64 << 20)), ["wanted at most 4194304 bytes"]),
    "bomb in the manifest": (with_member("profile.json", lambda: b" " * (64 << 20)), ["wanted at most 4194304 bytes"]),
    "bomb in a voice": (with_member("voices", lambda: npz(np.zeros((1 << 20, 16), "f4"))), ["wanted at most 1048576"]),
    "bomb of sound": (with_member("audio", lambda: flac(np.zeros(16_000_000, np.int16))), ["wanted at most 120 s"]),
    "bomb of another kind": (with_member("audio", lambda: bytes(1000), zipfile.ZIP_BZIP2), ["wanted plain files"]),
    "pickle": (with_member("voices", lambda: npz(np.array([Bomb()], object))), ["damaged: voices/"]),
    "wrong vectors": (with_member("voices", lambda: npz(2 * vectors(1))), ["wanted vectors of length 1"]),
    "vectors of another size": (with_member("voices", lambda: npz(vectors(1, d=8))), ["damaged: voices"]),
    "no sound": (with_member("audio", lambda: b"RIFF" + bytes(100)), ["damaged: audio/", "wanted FLAC"]),
    "sound of another rate": (with_member("audio", lambda: flac(sound(1), 8000)), ["wanted mono sound at 16000 Hz"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_profile_is_refused_in_one_line_and_nothing_is_changed(case, file, mine, tmp_path):
    spoil, words = BAD[case]
    spoil(file)
    before = content(tmp_path)
    for target in (mine, tmp_path / "nowhere"):
        for merge in (False, True):
            tracemalloc.start()
            with pytest.raises(ProfileError) as error:
                take_in(target, file, merge=merge)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            refused(error, file.name, *words)
            assert peak < 32 << 20  # 16 MB are two minutes of sound, and what libsndfile is asked for
    assert content(tmp_path) == before
    assert not (tmp_path / "nowhere").exists()
    assert "BOMB" not in os.environ


def test_vectors_that_the_network_never_makes_are_refused(file, tmp_path):
    with pytest.raises(ProfileError) as error:
        take_in(tmp_path / "nowhere", file, size=192)
    refused(error, file.name, "wanted vectors of 192 values")
    assert not (tmp_path / "nowhere").exists()


@posix
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ProfileError) as error:
        ProfileFile(tmp_path / "pipe")
    refused(error, "not a plain file")


def test_a_file_is_not_larger_than_a_profile_can_be(file, monkeypatch):
    for most in (1 << 30, 1000):
        monkeypatch.setattr(profile_file, "MAX_FILE_BYTES", most)
        if most == 1 << 30:
            ProfileFile(file).__exit__(None, None, None)
            continue
        with pytest.raises(ProfileError) as error:
            ProfileFile(file)
        refused(error, "wanted at most 1000 bytes")


def test_packed_again_by_another_program_it_is_the_same_profile(file, tmp_path):
    first = state(take_in(tmp_path / "first", file))
    pack(file, members(file), zipfile.ZIP_DEFLATED)
    assert state(take_in(tmp_path / "second", file)) == first


@pytest.mark.parametrize("what", ["bytes of the file", "bytes of a member"])
def test_a_file_that_somebody_changed_imports_whole_or_changes_nothing(what, file, mine):
    whole, parts = file.read_bytes(), members(file)
    rng = random.Random(3)
    outcomes = {"whole": 0, "refused": 0}
    for _ in range(300):
        if what == "bytes of the file":
            data = mutated(whole, rng)
            file.write_bytes(data)
        else:  # with checksums that are right again
            name = rng.choice([*parts])
            pack(file, {**parts, name: mutated(parts[name], rng)})
        before = content(mine)
        try:
            profile = take_in(mine, file)
        except ProfileError as error:
            one_line(str(error))
            assert content(mine) == before
            outcomes["refused"] += 1
        else:
            assert len(profile.voices) == 3
            assert state(Profile(mine, BASE)) == state(profile)
            assert data_files(mine) == named_files(mine)
            for voice in profile.voices[1:]:
                Profile(mine, BASE).remove(voice.name)
            outcomes["whole"] += 1
    assert min(outcomes.values()) > 0, outcomes  # both happen


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A bit that flips, a byte that changes, a piece that is lost, doubled, or zero."""
    at, size = rng.randrange(len(data)), rng.choice([1, 2, 7, 40])
    piece = data[at : at + size]
    replacement = rng.choice(
        [
            bytes([piece[0] ^ 1 << rng.randrange(8)]) + piece[1:],
            bytes([rng.randrange(256)]) + piece[1:],
            b"",
            piece * 2,
            bytes(len(piece)),
        ]
    )
    return data[:at] + replacement + data[at + len(piece) :]


# -- a change is whole -----------------------------------------------------------------------------------------------


def test_an_import_that_fails_at_any_write_changes_nothing(file, mine, monkeypatch):
    whole, before = model.profile_folder._write, known(mine)
    for fails_at in range(1000):
        writes = iter(range(1000))

        def write(path, data, writes=writes, fails_at=fails_at):
            if next(writes) == fails_at:
                whole(path, data[: len(data) // 2])
                raise OSError(28, "No space left on device")
            whole(path, data)

        monkeypatch.setattr(model.profile_folder, "_write", write)
        try:
            take_in(mine, file, merge=True)
        except ProfileError as error:
            message = str(error)
            one_line(message)
            assert "no space left on device; nothing was changed" in message
            assert known(mine) == before
        else:
            break
    assert fails_at == 3 + 2 + 1  # recordings, voices, the manifest
    assert len(Profile(mine, BASE).voices) == 3


LIMITED = """
import resource, sys
from pathlib import Path
from model.profile import BaseModel, Profile
from model.profile_file import ProfileFile, write_profile_file
from model.profile_folder import ProfileFolder
from stream.errors import ProfileError
folder, file, room = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
profile = Profile(folder, BaseModel("ab" * 32, {"n_mfcc": 30, "hop_ms": 10, "fmax_hz": 7600.5}))
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    if sys.argv[1] == "export":
        write_profile_file(ProfileFolder(folder), file, force=True)
    else:
        with ProfileFile(file) as found:
            profile.take_in(found, 16)
except ProfileError as error:
    print(error)
"""


@posix
@pytest.mark.parametrize("room", [100, 1000, 3000])
@pytest.mark.parametrize("task", ["export", "import"])
def test_a_full_disk_changes_nothing_and_leaves_nothing_about(task, room, folder, file, mine, tmp_path):
    before = {name: data for name, data in content(tmp_path).items() if not name.endswith("profile.lock")}
    target = folder if task == "export" else mine
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, task, target, file, str(room)], capture_output=True, text=True, check=True
    )
    (message,) = done.stdout.splitlines()
    assert "file too large; nothing was changed; make room" in message
    after = {name: data for name, data in content(tmp_path).items() if not name.endswith("profile.lock")}
    assert after == before


def test_a_folder_that_is_not_there_cannot_be_exported_to(folder, tmp_path):
    with pytest.raises(ProfileError) as error:
        write_profile_file(ProfileFolder(folder), tmp_path / "not" / "there")
    refused(error, "cannot write to", "no such file or folder", "nothing was changed", "give a path")


def test_a_profile_that_another_process_holds_is_exported_but_not_imported_into(file, mine, tmp_path, monkeypatch):
    monkeypatch.setattr(model.profile_folder, "LOCK_TIMEOUT_S", 0.2)
    before = known(mine)
    with FileLock(mine / "profile.lock"):
        write_profile_file(ProfileFolder(mine), tmp_path / "other")
        with pytest.raises(ProfileError) as error:
            take_in(mine, file)
    refused(error, "another livespeaker", "0.2 s", "try again")
    assert known(mine) == before
    assert len(take_in(mine, file).voices) == 3
