"""Kills the program at random moments, for real, and looks at what is left: `python -m tests.kills [HOW_MANY [SEED]]`.

Every change of a profile, and a session that records, runs in a process of its own that gets SIGKILL: half of the time
at any moment, half of the time at one after it began to write. What is left must open, and be what there was before the
change or after it, and the next change must go well. POSIX alone: a process that has imported everything forks, or two
hundred kills would take half an hour.
"""

import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from select import select

import numpy as np
import soundfile as sf

import model.enrol
import model.profile_file
import model.window  # noqa: F401 - all that the commands import, before the first fork
from model.head import Head
from model.profile import Profile
from stream.cli import app
from stream.demonstration import CONVERSATION, ENROLMENT
from stream.rttm import read_rttm
from tests.people import data_files, named_files
from tests.talk import base, content

NAMES = tuple(ENROLMENT)
WRITES = {"open", "os.mkdir", "os.rename", "os.remove", "os.truncate"}


@dataclass(frozen=True)
class Deed:
    """One thing to do that may be killed."""

    name: str
    do: Callable[[Path], object]  # given a folder that holds what there was before
    look: Callable[[Path], object]  # what is left in that folder; fails when it is no whole state


def command(*arguments: str) -> Callable[[Path], object]:
    """The command line on `profile` in the folder; `@` before an argument stands for the folder."""

    def run(folder: Path) -> None:
        words = [str(folder / word[1:]) if word.startswith("@") else word for word in arguments]
        app([*words, "--profile", str(folder / "profile")], standalone_mode=False)

    return run


def take_head(folder: Path) -> None:
    """What fine-tuning does to the profile; that its learning touches nothing is tested elsewhere."""
    profile = Profile(folder / "profile", base())
    ids = tuple(voice.id for voice in profile.voices)
    size, n = profile.voices[0].vectors.shape[1], len(ids) + 1
    kernel = np.random.default_rng(0).normal(size=(size, n)).astype(np.float32)
    profile.take_head(Head(ids, np.eye(size, dtype=np.float32), kernel, np.zeros(n, np.float32), 0.5))


def people_left(folder: Path) -> object:
    """Everybody who is known; the change after it sweeps up."""
    profile = Profile(folder / "profile", base())
    found = [(v.name, v.vectors.tobytes(), v.speech_s.tobytes(), v.has_audio) for v in profile.voices]
    recordings = sorted(len(sound) for kept in profile.recordings().values() for sound in kept)
    version = profile.head_version
    profile.rename(profile.voices[0].name, "Somebody")
    assert Profile(folder / "profile", base()).voices[0].name == "Somebody"
    assert data_files(folder / "profile") == named_files(folder / "profile"), "what nobody names is left"
    return found, recordings, version


def session_left(folder: Path) -> object:
    """What was written of a session: a beginning of all of it, whole."""
    at = {each: folder / f"talk.{each}" for each in ("jsonl", "rttm", "csv", "wav")}
    whole = WHOLE_SESSION
    counts = []
    if at["jsonl"].exists():
        records = [json.loads(line) for line in at["jsonl"].read_text().splitlines()]
        turns = [(r["start_s"], r["end_s"], r["name"]) for r in records if r["type"] == "turn" and r["final"]]
        assert turns == whole["jsonl"][: len(turns)]
        counts.append(len(turns))
    if at["rttm"].exists():
        spoken = read_rttm(at["rttm"]) if at["rttm"].stat().st_size else []
        assert spoken == whole["rttm"][: len(spoken)]
        counts.append(len(spoken))
    if at["csv"].exists():
        data = at["csv"].read_bytes()
        assert whole["csv"].startswith(data)
        assert not data or data.endswith(b"\r\n")
        counts.append(max(data.count(b"\n") - 1, 0))
    assert not counts or max(counts) - min(counts) <= 1, f"one output knows more than another: {counts}"
    if at["wav"].exists() and at["wav"].stat().st_size:
        heard = sf.read(at["wav"], dtype="float32")[0]
        np.testing.assert_array_equal(heard, whole["wav"][: len(heard)])
    return min(counts, default=0)


WHOLE_SESSION: dict[str, object] = {}
SESSION = ("replay", str(CONVERSATION), "--speed", "max", "--jsonl", "@talk.jsonl", "--rttm", "@talk.rttm")
DEEDS = [
    Deed("enroll", command("enroll", "Guest", str(ENROLMENT[NAMES[2]]), "--force"), people_left),
    Deed("enroll more", command("enroll", NAMES[0], str(ENROLMENT[NAMES[0]])), people_left),
    Deed("fine-tune", take_head, people_left),
    Deed("remove", command("speakers", "remove", NAMES[1]), people_left),
    Deed("rename", command("speakers", "rename", NAMES[1], "Bo"), people_left),
    Deed("merge", command("speakers", "merge", NAMES[0], NAMES[1]), people_left),
    Deed("import", command("speakers", "import", "@others.livespeaker"), people_left),
    Deed("session", command(*SESSION, "--csv", "@talk.csv", "--record", "@talk.wav"), session_left),
]


def start(deed: Deed, folder: Path) -> tuple[int, int]:
    """A process that does it; its number, and a pipe that says when it begins to write into the folder."""
    heard, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, heard
    told = False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal told
        if not told and event in WRITES and str(folder) in str(arguments[0]):
            told = (
                event != "open" or not isinstance(arguments[2], int) or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            )
            if told:
                os.write(tell, b".")

    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        sys.addaudithook(hook)
        deed.do(folder)
        code = 0
    finally:
        os._exit(code)


def wait_for_writing(heard: int) -> None:
    select([heard], [], [], 60.0)


def kill(deed: Deed, before: Path, after: object, took_s: tuple[float, float], random_: random.Random) -> str:
    """Do it once, and kill it; whether what is left is what there was "before", "between" or "after"."""
    until_writing_s, writing_s = took_s
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(before, Path(place) / "x"))
        child, heard = start(deed, folder)
        if random_.random() < 0.5:
            time.sleep(random_.uniform(0, until_writing_s + writing_s))
        else:
            wait_for_writing(heard)
            time.sleep(random_.uniform(0, writing_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
        left = deed.look(folder)
        if deed.look is session_left:
            return "after" if left == after else "between" if left else "before"
        with tempfile.TemporaryDirectory() as other:
            unchanged = deed.look(Path(shutil.copytree(before, Path(other) / "x")))
        assert left in (unchanged, after), f"{deed.name}: neither before nor after"
        return "after" if left == after else "before"


def run_whole(deed: Deed, before: Path, place: Path) -> tuple[Path, tuple[float, float]]:
    """Do it to its end; the folder, and the seconds until it began to write and from there to the end."""
    folder = Path(shutil.copytree(before, place / deed.name))
    began_s = time.monotonic()
    child, heard = start(deed, folder)
    wait_for_writing(heard)
    writes_s = time.monotonic()
    assert os.waitpid(child, 0)[1] == 0, f"{deed.name} failed"
    os.close(heard)
    return folder, (writes_s - began_s, time.monotonic() - writes_s)


def main(how_many: int, seed: int) -> Counter[tuple[str, str]]:
    """Kill so often; how often each deed left what."""
    random_ = random.Random(seed)
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as place_:
        place = Path(place_)
        before = place / "before"
        before.mkdir()
        # In processes of their own: LiteRT starts threads, and who has threads should not fork.
        for i, name in enumerate(NAMES[:2]):
            setup = Deed(f"setup {i}", command("enroll", name, str(ENROLMENT[name])), people_left)
            before = run_whole(setup, before, place)[0]
        (place / "nobody").mkdir()
        other = run_whole(
            Deed("other", command("enroll", "Other", str(ENROLMENT[NAMES[2]])), people_left), place / "nobody", place
        )[0]
        exported = command("speakers", "export", "@others.livespeaker")
        other = run_whole(Deed("export", exported, people_left), other, place)[0]
        shutil.copy(other / "others.livespeaker", before)
        before = run_whole(Deed("head", take_head, people_left), before, place)[0]
        untouched = content(before)
        afters: dict[str, object] = {}
        took_s: dict[str, tuple[float, float]] = {}
        for deed in DEEDS:
            folder, took_s[deed.name] = run_whole(deed, before, place)
            if deed.look is session_left:
                records = [json.loads(line) for line in (folder / "talk.jsonl").read_text().splitlines()]
                WHOLE_SESSION["jsonl"] = [
                    (r["start_s"], r["end_s"], r["name"]) for r in records if r["type"] == "turn" and r["final"]
                ]
                WHOLE_SESSION["rttm"] = read_rttm(folder / "talk.rttm")
                WHOLE_SESSION["csv"] = (folder / "talk.csv").read_bytes()
                WHOLE_SESSION["wav"] = sf.read(folder / "talk.wav", dtype="float32")[0]
            afters[deed.name] = deed.look(folder)
        for deed in itertools.islice(itertools.cycle(DEEDS), how_many):
            found[deed.name, kill(deed, before, afters[deed.name], took_s[deed.name], random_)] += 1
        assert content(before) == untouched
    return found


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    counted = main(*arguments, *[200, 0][len(arguments) :])
    for (name, left), count in sorted(counted.items()):
        print(f"{name:<12} {left:<8} {count:4d}")
    print(f"{sum(counted.values())} kills; everything opened again, whole")
