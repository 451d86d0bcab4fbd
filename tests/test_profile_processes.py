"""A profile whose process is killed, and one that several processes change."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import model.profile_folder
from model.profile import BaseModel, Profile
from stream.errors import ProfileError
from tests.people import (
    BASE,
    data_files,
    named_files,
    posix,
    refused,
    state,
    two_people,
    vectors,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_people(tmp_path / "profile")


# A deterministic life of a profile, for processes that get killed: every step is one change. Standard
# output gets the number of every change that is complete.
CHANGES = """
import sys
from pathlib import Path
import numpy as np
from model.profile import BaseModel, Profile

def vectors(seed):
    rows = np.random.default_rng(seed).normal(size=(2, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

def change(profile, step):
    number, kind = divmod(step, 6)
    person, twin = f"p{number}", f"twin of p{number}"
    sound = np.random.default_rng(step).uniform(-0.5, 0.5, 800).astype(np.float32)
    match kind:
        case 0:
            profile.add(person, vectors(step), [1.5, 2.5])
        case 1:
            profile.add(person, vectors(step), [1.5, 2.5], [sound, -sound])
        case 2:
            profile.rename(person, person + "!")
        case 3:
            profile.add(twin, vectors(step), [1.0, 1.0], [sound])
        case 4:
            profile.merge(twin, person + "!")
        case 5:
            profile.remove(twin)

base = BaseModel("ab" * 32, {"n_mfcc": 30, "hop_ms": 10, "fmax_hz": 7600.5})
"""


KINDS = 6


def space() -> dict[str, Any]:
    """What CHANGES defines."""
    names: dict[str, Any] = {}
    exec(CHANGES, names)
    return names


def clean(folder: Path) -> bool:
    return data_files(folder) == named_files(folder) and not (folder / "profile.json.new").exists()


@posix
def test_killed_at_random_it_holds_the_old_or_the_new_state(folder, tmp_path):
    reference = Profile(shutil.copytree(folder, tmp_path / "reference"), BASE)
    code = CHANGES + "profile = Profile(Path(sys.argv[1]), base)\nfor step in range(int(sys.argv[2]), 100_000):\n"
    code += "    change(profile, step)\n    print(step, flush=True)\n"
    rng = random.Random(2)
    change, step = space()["change"], 0
    for _ in range(20):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(step)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        first = child.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        child.kill()
        rest, errors = child.communicate()
        assert (child.returncode, errors) == (-signal.SIGKILL, b"")
        done = int((first + rest).split()[-1])
        while step <= done:
            change(reference, step)
            step += 1
        found = state(Profile(folder, BASE))
        if found != state(reference):
            change(reference, step)
            step += 1
        assert found == state(reference)
    change(Profile(folder, BASE), step)
    assert clean(folder)


@posix
def test_killed_before_any_touch_of_the_disk_it_holds_the_old_or_the_new_state(folder, tmp_path):
    """Every kind of change, killed before its first, second, ... open, mkdir, rename and delete."""
    code = (
        CHANGES
        + """
import os, shutil, signal, soundfile
root, whole, kinds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
touches = {"open", "os.mkdir", "os.rename", "os.remove"}

def kill_before(touch):
    left = touch
    def hook(event, arguments):
        nonlocal left
        if event in touches and str(root) in str(arguments[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for step in range(kinds):
    for touch in range(1000):
        copy = shutil.copytree(whole, root / f"{step}-{touch}")
        child = os.fork()
        if not child:
            profile = Profile(copy, base)
            kill_before(touch)
            change(profile, step)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
    change(Profile(whole, base), step)
"""
    )
    reference = Profile(shutil.copytree(folder, tmp_path / "reference"), BASE)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(folder), str(KINDS)],
        capture_output=True,
        text=True,
        # One that forks must not have threads.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    change = space()["change"]
    for step in range(KINDS):
        copies = [tmp_path / f"{step}-{touch}" for touch in range(len(list(tmp_path.glob(f"{step}-*"))))]
        old = state(reference)
        change(reference, step)
        new = state(reference)
        found = [state(Profile(copy, BASE)) for copy in copies]
        turned = found.index(new)  # at the rename; the last copy is of a process that was left alone
        assert found == [old] * turned + [new] * (len(found) - turned)
        assert 5 < turned < len(found) - 1
        for copy in copies[turned - 1 : turned + 2]:  # what lies about is most just before and after
            Profile(copy, BASE).add("next", vectors(1), [1, 1, 1])
            assert clean(copy)


def test_two_processes_lose_nothing_of_each_other(tmp_path):
    code = """
import sys
from pathlib import Path
import numpy as np
from model.profile import BaseModel, Profile
profile = Profile(Path(sys.argv[1]), BaseModel("ab" * 32, {}))
sys.stdin.readline()
for i in range(10):
    profile.add(f"{sys.argv[2]} {i}", np.eye(1, 8), [1.0])
    profile.add("both", np.eye(1, 8), [1.0])
"""
    base = BaseModel("ab" * 32, {})
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), who], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for who in ("left", "right")
    ]
    for child in children:
        child.stdin.write(b"go\n")
        child.stdin.flush()
    while any(child.poll() is None for child in children):
        names = [voice.name for voice in Profile(tmp_path, base).voices]  # a reader finds it whole at any time
        assert len(set(names)) == len(names)
        time.sleep(0.001)
    for child in children:
        assert (child.communicate()[1], child.returncode) == (b"", 0)
    names = {voice.name for voice in Profile(tmp_path, base).voices}
    assert names == {"both", *(f"{who} {i}" for who in ("left", "right") for i in range(10))}
    assert clean(tmp_path)


def test_a_profile_that_another_process_holds_is_waited_for_and_then_refused(folder, monkeypatch):
    monkeypatch.setattr(model.profile_folder, "LOCK_TIMEOUT_S", 0.2)
    profile = Profile(folder, BASE)
    with FileLock(folder / "profile.lock"):
        assert [voice.name for voice in Profile(folder, BASE).voices] == ["Ann", "Bo"]  # reading waits for nobody
        with pytest.raises(ProfileError) as error:
            profile.remove("Ann")
        refused(error, "another livespeaker", "0.2 s", "try again")
    profile.remove("Ann")
