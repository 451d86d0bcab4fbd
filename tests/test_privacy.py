"""Voices and names stay on the machine and in their folder, go when they are told to, and are only voices and names."""

import csv
import json
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.profile import Profile
from stream.captions import Srt, Vtt
from stream.demonstration import ENROLMENT
from stream.errors import UsageError
from stream.outputs import JsonLines, Lines, Notices, Rttm
from stream.records import Loss, Turn
from stream.rttm import read_rttm
from stream.tables import Csv, Labels
from tests.people import BASE, vectors
from tests.talk import base, command, kept_speech, livespeaker, voices
from tests.test_fine_tune import a_head, ids
from tests.test_text import EVIL, harmful

# -- nothing leaves the machine ----------------------------------------------------------------------------------------

# Python reads it when it starts. A library that TensorFlow brings sees by a port of the machine's own whether there is
# IPv6: that reaches nobody.
NO_NETWORK = """
import os, sys
from pathlib import Path

NETWORK = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
           "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request", "http.client.connect"}

def refuse(event, arguments):
    if event in NETWORK and not (event == "socket.bind" and arguments[1][0] == "::1"):
        Path(__file__).with_name("asked").write_text(f"{event} {arguments}")  # standard error may lead nowhere
        os._exit(99)

sys.addaudithook(refuse)
"""


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """An environment in which a program that asks for the network ends at once."""
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text(NO_NETWORK)
    path = os.pathsep.join(filter(None, [str(tmp_path / "hooks"), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path}


def test_the_hook_sees_a_connection(offline: dict[str, str], tmp_path: Path) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"
    done = subprocess.run([command()[0], "-c", code], env=os.environ | offline, capture_output=True, text=True)
    assert done.returncode == 99
    assert (tmp_path / "hooks" / "asked").read_text().startswith("socket.")


def test_no_command_opens_a_connection(offline: dict[str, str], tmp_path: Path) -> None:
    profile, file = ("--profile", tmp_path / "profile"), tmp_path / "home.livespeaker"
    for arguments in (
        *(("enroll", name, path, *profile) for name, path in list(ENROLMENT.items())[:2]),
        ("fine-tune", *profile),  # TensorFlow is loaded
        ("speakers", "export", file, *profile),
        ("speakers", "import", file, "--profile", tmp_path / "other"),
        ("devices",),
        ("demo", "--plain", "--csv", tmp_path / "x.csv", "--timeline", tmp_path / "x.png"),
    ):
        done = livespeaker(*arguments, env=offline, timeout=300)
        asked = tmp_path / "hooks" / "asked"
        assert not asked.exists(), asked.read_text()
        assert done.returncode == 0 or arguments == ("devices",), done.stderr  # there may be none


# -- removed is removed ------------------------------------------------------------------------------------------------


def everything(folder: Path) -> bytes:
    """All bytes of all files, and their names."""
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def test_a_removed_person_leaves_no_byte(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "data" / "livespeaker" / "profile", base())
    speech = kept_speech()
    for voice in voices():
        profile.add(voice.name, voice.vectors, voice.speech_s, speech[voice.name])
    profile.take_head(a_head(ids(profile), sure=1.0))
    profile.rename("Rob", "Robert Zoë Quist")
    gone = profile.find("Robert Zoë Quist")
    assert gone is not None
    folder = tmp_path / "data"
    listed = json.loads((folder / "livespeaker/profile/profile.json").read_text())
    entry = next(person for person in listed["people"] if person["id"] == gone.id)
    traces = {
        "name": b"Quist",
        "first name": b"Rob",
        "id": gone.id.encode(),
        "file": entry["voice"].encode(),
        **{f"voice {i}": row.tobytes()[:64] for i, row in enumerate(gone.vectors)},
    }
    recordings = {reference["audio"] for reference in entry["references"]}
    for file in recordings:
        data = (folder / "livespeaker/profile/audio" / file).read_bytes()
        traces |= {f"sound {file}": data[len(data) // 2 :][:64], f"name {file}": file.encode()}
    before = everything(folder)
    assert all(trace in before for trace in traces.values())
    done = livespeaker("speakers", "remove", gone.name, "--profile", folder / "livespeaker" / "profile")
    assert done.returncode == 0, done.stderr
    after = everything(folder)
    assert [what for what, trace in traces.items() if trace in after] == []
    assert not list((folder / "livespeaker/profile/heads").iterdir())  # the only one had heard Rob
    # And nobody else has lost anything.
    left = Profile(folder / "livespeaker" / "profile", base())
    assert {voice.name for voice in left.voices} == {"Sally", "Angus"}
    assert all(len(sounds) for sounds in left.recordings().values())


def test_all_that_a_user_keeps_lies_in_one_folder(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    home |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "USERPROFILE": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    done = livespeaker("enroll", "Quist", ENROLMENT["Rob"], env=home)
    assert done.returncode == 0, done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"Quist" in path.read_bytes()]
    assert [path.name for path in kept] == ["profile.json"]
    folder = kept[0].parent
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert [path for path in outside if path.suffix in (".npz", ".flac", ".wav", ".npy")] == []
    assert livespeaker("speakers", "remove", "quist", env=home).returncode == 0
    assert b"Quist" not in everything(tmp_path)
    assert {path.name for path in folder.rglob("*") if path.is_file()} <= {"profile.json", "profile.lock"}


# -- a name is only a name ---------------------------------------------------------------------------------------------

NASTY = [
    EVIL,
    "",
    " ",
    "../../x",
    "a\r\nb",
    "1 --> 2",
    "\n\n9\n00:00:00,000 --> 00:00:01,000\nx",
    '"',
    "=1+1",
    "\t",
    "<b>",
    "\ufeff",
]
a_name = st.sampled_from(NASTY) | st.text(max_size=20) | st.text("<>&{}\\/\"'`;,=+-@|\r\n\t\x1b\x85\u2028 ", max_size=8)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(a_name, min_size=1, max_size=4), a_name)
def test_no_name_breaks_a_line_or_reaches_a_terminal(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], source: str
) -> None:
    folder = tmp_path_factory.mktemp("out")
    turns = [Turn(i * 16_000, (i + 1) * 16_000, name, 0.9, final=True) for i, name in enumerate(names)]
    outputs = {
        "jsonl": JsonLines(folder / "jsonl", source),
        "rttm": Rttm(folder / "rttm", source),
        "srt": Srt(folder / "srt"),
        "vtt": Vtt(folder / "vtt"),
        "labels": Labels(folder / "labels"),
        "csv": Csv(folder / "csv"),
        "plain": Lines(folder / "plain"),
    }
    for output in outputs.values():
        with output:
            for turn in turns:
                output.write(turn)
            output.end(99_000, Loss(), 0)
    text = {kind: (folder / kind).read_bytes().decode() for kind in outputs}
    assert all(harmful(re.sub(r"[\r\n\t]", "", each)) == [] for each in text.values())
    records = [json.loads(line) for line in text["jsonl"].splitlines()]
    assert [record["name"] for record in records if record["type"] == "turn"] == names
    assert records[0]["source"] == source
    assert [(turn.start, turn.end) for turn in read_rttm(folder / "rttm")] == [(turn.start, turn.end) for turn in turns]
    assert [len(line.split()) for line in text["rttm"].splitlines()] == [10] * len(names)
    blocks = text["srt"].split("\n\n")
    assert [block.split("\n")[0] for block in blocks if block] == [str(i + 1) for i in range(len(names))]
    assert all(len(block.split("\n")) == 3 for block in blocks if block)
    assert text["vtt"].count("-->") == len(names)
    assert all(line.count("\t") == 2 for line in text["labels"].splitlines())
    assert len(text["labels"].splitlines()) == len(text["plain"].splitlines()) == len(names)
    table = list(csv.reader(text["csv"].splitlines(keepends=True)))
    assert [len(row) for row in table] == [7] * (1 + len(names))
    assert not any(row[2].lstrip().startswith(("=", "+", "-", "@")) for row in table[1:])


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "C:\\evil", "..", "profile.json", "~root", "$HOME", "%2e%2e", "CON", "a:b"]
)
def test_no_name_is_a_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "profile"
    profile = Profile(folder, BASE)
    with suppress(UsageError):  # what looks like a path is refused; what does not is none either
        profile.add(name, vectors(1), [1.0, 2.0, 3.0])
        assert Profile(folder, BASE).voices[0].name == name
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert all(
        re.fullmatch(r"a/b/profile/(profile\.json|profile\.lock|voices/[0-9a-f]{16}\.npz)", file) for file in files
    )


def test_what_is_said_of_a_source_reaches_no_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Notices().notice(0, f"the microphone {EVIL} is gone")
    assert harmful(capsys.readouterr().err[:-1]) == []
