"""Fine-tuning when something goes wrong: it is killed, the disk is full, others use the profile, the profile moves."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from model.profile import BaseModel, Profile
from stream.clock import SAMPLE_RATE
from stream.errors import ProfileError
from tests.people import BASE, named_files, one_line, posix, state, two_people
from tests.talk import NAMES, base, command, content, conversation, kept_speech, livespeaker, voices
from tests.test_fine_tune import a_head, ids


def without_lock(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name != "profile.lock"}


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the demo's people with their kept speech, and a head that is in use."""
    folder = tmp_path_factory.mktemp("family") / "profile"
    known, speech = Profile(folder, base()), kept_speech()
    for voice in voices()[:2]:
        known.add(voice.name, voice.vectors, voice.speech_s, speech[voice.name])
    known.take_head(a_head(ids(known), sure=1.0))
    return folder


@pytest.fixture
def profile(family: Path, tmp_path: Path) -> Path:
    return shutil.copytree(family, tmp_path / "profile")


# -- killed ------------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_it_learns_it_has_changed_nothing(profile: Path, stop: signal.Signals) -> None:
    before = without_lock(profile)
    with subprocess.Popen(
        command("fine-tune", "--profile", profile), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as learning:
        said = ""
        while "training 1 of" not in said:
            line = learning.stderr.readline()
            assert line, said
            said += line
        learning.send_signal(stop)
        out, err = learning.communicate(timeout=60)
    assert learning.returncode == (-signal.SIGKILL if stop == signal.SIGKILL else 130)
    assert (out, "Traceback" in err) == ("", False)
    if stop == signal.SIGINT:
        assert err.splitlines()[-1] == "Stopped. Nothing was changed."
    assert without_lock(profile) == before
    assert Profile(profile, base()).head_version == 1


@posix
def test_killed_before_any_touch_of_the_disk_the_old_head_or_the_new_one_works(tmp_path: Path) -> None:
    # As for every other change in test_profile_processes.py: before the first, second, ... open, rename and delete.
    code = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np, soundfile
from model.head import Head
from model.profile import Profile
from tests.people import BASE
root, whole, task = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def kill_before(touch):
    left = touch
    def hook(event, arguments):
        nonlocal left
        if event in {"open", "os.mkdir", "os.rename", "os.remove"} and str(root) in str(arguments[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for touch in range(1000):
    copy = shutil.copytree(whole, root / f"{task}-{touch}")
    child = os.fork()
    if not child:
        profile = Profile(copy, BASE)
        people = tuple(voice.id for voice in profile.voices)
        kill_before(touch)
        if task == "take":
            profile.take_head(Head(people, np.eye(16, dtype="f"), np.zeros((16, 3), "f"), np.full(3, 2, "f")))
        else:
            profile.roll_back()
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
    whole = two_people(tmp_path / "profile")
    known = Profile(whole, BASE)
    for sure in (0.0, 1.0):
        known.take_head(a_head(ids(known), d=16, sure=sure))
    for task, new in (("take", 2.0), ("back", 0.0)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(whole), task],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # one that forks has no threads
        )
        assert (done.returncode, done.stderr) == (0, "")
        copies = [tmp_path / f"{task}-{touch}" for touch in range(len(list(tmp_path.glob(f"{task}-*"))))]
        found = [float(Profile(copy, BASE).head.bias[0]) for copy in copies]
        turned = found.index(new)
        assert found == [1.0] * turned + [new] * (len(found) - turned)
        assert 3 < turned < len(found)
        for copy in copies:
            assert state(Profile(copy, BASE)) == state(known)
            Profile(copy, BASE).rename("Ann", "Anna")  # the next change clears up
            heads = json.loads((copy / "profile.json").read_text())["heads"]
            assert {head["file"] for head in heads} == {file.name for file in (copy / "heads").iterdir()}


# -- others use the profile --------------------------------------------------------------------------------------------


def test_two_sessions_go_on_through_a_fine_tuning_and_use_what_is_taken(profile: Path, tmp_path: Path) -> None:
    sound = (conversation(0, 40) * 32_767).astype("<i2").tobytes()
    half = 2 * 15 * SAMPLE_RATE
    sessions = [
        subprocess.Popen(
            command("replay", "-", "--profile", profile, "--jsonl", tmp_path / f"{i}.jsonl"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    ]
    for session in sessions:
        session.stdin.write(sound[:half])
        session.stdin.flush()
    learned = livespeaker("fine-tune", "--profile", profile)
    assert learned.returncode == 0, learned.stderr
    # Whatever came of it, from here on everybody is nobody.
    known = Profile(profile, base())
    known.take_head(a_head(ids(known), sure=-1e4))
    for i, session in enumerate(sessions):
        _, err = session.communicate(sound[half:], timeout=60)
        assert session.returncode == 0, err.decode()
        told = [json.loads(line) for line in (tmp_path / f"{i}.jsonl").read_text().splitlines()]
        turns = [each for each in told if each["type"] == "turn" and each["final"]]
        assert {turn["name"] for turn in turns if turn["end_s"] < 14} & {*NAMES[:2]}
        assert {turn["name"] for turn in turns if turn["start_s"] > 17} == {"unknown"}
        assert (told[-1]["type"], told[-1]["gaps"]) == ("end", 0)


def test_heads_that_two_processes_take_at_once_are_all_there(tmp_path: Path) -> None:
    folder = two_people(tmp_path / "profile")
    code = """
import sys
from pathlib import Path
from model.profile import Profile
from tests.people import BASE
from tests.test_fine_tune import a_head, ids
profile = Profile(Path(sys.argv[1]), BASE)
sys.stdin.readline()
print(*(profile.take_head(a_head(ids(profile), d=16)) for _ in range(5)))
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    versions = [int(word) for child in children for word in child.communicate(timeout=120)[0].split()]
    assert sorted(versions) == list(range(1, 11))
    assert Profile(folder, BASE).head_version == 10
    assert len(list((folder / "heads").iterdir())) == 5


# -- a disk that fills -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "livespeaker", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only, and not in every container")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4_096))


@posix
def test_on_a_full_disk_the_old_head_works_and_nothing_is_lost(profile: Path, small_disk: Path) -> None:
    there = shutil.copytree(profile, small_disk / "profile")
    known = Profile(there, base())
    known.rename(known.voices[0].name, "Ann")  # the lock and the folders are there
    before = without_lock(there)
    fill(small_disk)
    with pytest.raises(ProfileError, match="no space left on device; nothing was changed; make room") as error:
        known.take_head(a_head(ids(known), sure=2.0))
    one_line(str(error.value))
    assert without_lock(there) == before
    assert known.head_version == Profile(there, base()).head_version == 1
    done = livespeaker("fine-tune", "--rollback", "--profile", there)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no space left on device; nothing was changed" in done.stderr
    assert without_lock(there) == before
    (small_disk / "filler").unlink()
    assert known.take_head(a_head(ids(known), sure=2.0)) == 2


@posix
@pytest.mark.parametrize("room", [100, 10_000, 100_000])
def test_a_head_that_finds_no_room_half_way_leaves_nothing_about(profile: Path, room: int) -> None:
    before = without_lock(profile)
    code = f"""
import resource, sys
from pathlib import Path
from model.profile import Profile
from stream.errors import ProfileError
from tests.talk import base
from tests.test_fine_tune import a_head, ids
profile = Profile(Path(sys.argv[1]), base())
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    profile.take_head(a_head(ids(profile)))
except ProfileError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(profile)], capture_output=True, text=True, check=True)
    one_line(done.stdout.strip())
    assert "file too large; nothing was changed; make room" in done.stdout
    assert without_lock(profile) == before
    assert Profile(profile, base()).head_version == 1


# -- another machine ---------------------------------------------------------------------------------------------------


def test_a_profile_that_was_moved_has_its_head(profile: Path, tmp_path: Path) -> None:
    before = Profile(profile, base()).head
    moved = Path(shutil.move(profile, tmp_path / "another machine"))
    after = Profile(moved, base()).head
    assert after.people == before.people
    np.testing.assert_array_equal(after.kernel, before.kernel)
    assert livespeaker("fine-tune", "--rollback", "--profile", moved).returncode == 0


def test_a_head_of_another_base_model_goes_with_its_embeddings(tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    ours, theirs = BaseModel("ab" * 32, {}), BaseModel("cd" * 32, {})
    known = Profile(folder, theirs)
    known.add("Ann", np.eye(1, 16), [3.0], [np.full(1_600, 0.5, np.float32)])
    known.take_head(a_head(ids(known), d=16))
    with pytest.raises(ProfileError, match="another base model") as error:
        Profile(folder, ours)
    one_line(str(error.value))
    assert Profile(folder, theirs).head is not None
    again = Profile(folder, ours, embed=lambda samples: (np.eye(1, 8, dtype=np.float32), np.ones(1, np.float32)))
    assert (again.head, again.head_version) == (None, 0)
    assert not list((folder / "heads").iterdir())
    assert named_files(folder)
