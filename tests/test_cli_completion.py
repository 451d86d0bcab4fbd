"""What the shell offers: commands, options, and the names of people and of sound inputs."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from model.profile import Profile
from stream.cli_completion import inputs
from tests.talk import ROOT, write_profile

CODE = "import sys; sys.argv[0] = 'livespeaker'; from stream.cli import main; main()"


def offered(typed: str, shell: str = "bash", **env: str) -> list[str]:
    """What Tab gives after `livespeaker typed`."""
    words = f"livespeaker {typed}"
    asked = {"_LIVESPEAKER_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    asked |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    usual = {"PATH": os.environ["PATH"], "LIVESPEAKER_CONFIG": "", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=ROOT, env=usual | asked | env, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.parametrize("typed", ["sp:speakers", "speakers re:rename", "live --dev:--device"])
def test_commands_and_options_are_offered(typed: str) -> None:
    typed, _, wanted = typed.partition(":")
    assert wanted in offered(typed)


def test_the_known_people_are_offered_where_one_of_them_is_meant(tmp_path: Path) -> None:
    profile = Profile(write_profile(tmp_path / "home"), None)
    profile.remove("Angus")
    profile.rename("Rob", "Rob Zoë")
    home = f"--profile {tmp_path / 'home'}"
    for command in ("rename", "merge Sally", "adopt guest-1"):
        assert offered(f"speakers {command} {home} R") == ["Rob\\ Zoë"]  # for bash, which does not quote
    assert offered(f"enroll {home} ") == ["Rob\\ Zoë", "Sally"]
    assert offered(f"speakers {home} remove ", "fish") == ["Rob Zoë", "Sally"]
    (tmp_path / "config.toml").write_text(f"profile = {json.dumps(str(tmp_path / 'home'))}\n")
    assert offered("speakers remove S", LIVESPEAKER_CONFIG=str(tmp_path / "config.toml")) == ["Sally"]


def test_where_something_is_wrong_nothing_is_offered(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("{")
    assert offered(f"speakers remove --profile {tmp_path} ") == []
    assert offered(f"speakers remove --profile {tmp_path / 'none'} ") == []
    (tmp_path / "config.toml").write_text("?")
    assert offered("speakers remove ", LIVESPEAKER_CONFIG=str(tmp_path / "config.toml")) == []
    assert not (tmp_path / "none").exists()


def test_the_sound_inputs_are_offered_by_name(fake: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inputs("") == ["Headset", "Webcam"]
    assert inputs("W") == ["Webcam"]
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert inputs("") == []
