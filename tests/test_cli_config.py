"""The user's own defaults, what goes before them, and what the program says of itself."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from stream.cli import app
from stream.cli_config import config_path, read_config
from stream.decide import DecisionConfig
from stream.demonstration import CONVERSATION
from stream.errors import UsageError
from tests.talk import ROOT, livespeaker, write_profile


def write(folder: Path, text: str) -> dict[str, str]:
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return {"LIVESPEAKER_CONFIG": str(folder / "config.toml")}


def names(out: str) -> set[str]:
    return {each["name"] for each in json.loads(out)["speakers"]}


def test_a_default_of_the_file_counts_for_every_command_and_an_option_goes_before_it(tmp_path: Path) -> None:
    write_profile(tmp_path / "family")
    env = write(tmp_path, f"profile = {json.dumps(str(tmp_path / 'family'))}\nspeech = 0.98\n")
    done = livespeaker("speakers", "list", "--json", env=env)
    assert names(done.stdout) == {"Angus", "Rob", "Sally"}, done.stderr
    other = livespeaker("speakers", "list", "--json", "--profile", tmp_path / "other", env=env)
    assert names(other.stdout) == set()
    replay = ("replay", CONVERSATION, "--speed", "max", "--plain")
    strict = livespeaker(*replay, env=env)
    usual = livespeaker(*replay, "--speech", "0.5", env=env)
    assert strict.returncode == usual.returncode == 0
    assert "Sally" in usual.stdout
    assert strict.stdout != usual.stdout
    plain = livespeaker(*replay, "--profile", tmp_path / "family", env={"LIVESPEAKER_CONFIG": ""})
    assert plain.stdout == usual.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profil = 'x'", "the key profil"),
        ("unknown = 2", "a number between 0 and 1 for unknown in"),
        ("speech = true", "for speech in"),
        ("device = true", "a name in quotes or a number for device in"),
        ("profile = 7", "a folder, in quotes for profile in"),
        ("unknown = ", "expected TOML in"),
    ],
)
def test_a_bad_file_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError, match=said) as caught:
        read_config(tmp_path / "config.toml")
    assert "\n" not in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_a_bad_file_ends_every_command_but_help(tmp_path: Path) -> None:
    env = write(tmp_path, "profil = 'x'")
    done = livespeaker("speakers", env=env)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("livespeaker: expected profile, device, ")
    assert livespeaker("--help", env=env).returncode == 0


def test_a_file_that_was_named_must_be_there_and_the_usual_one_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVESPEAKER_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(UsageError, match=r"cannot read .*no such file"):
        read_config(config_path())
    monkeypatch.setenv("LIVESPEAKER_CONFIG", "")
    assert config_path() is None
    monkeypatch.delenv("LIVESPEAKER_CONFIG")
    usual = config_path()
    assert usual is not None
    assert usual.name == "config.toml"
    assert read_config(tmp_path / "none.toml") == {}


def test_a_home_is_found_and_a_number_is_a_device(tmp_path: Path) -> None:
    write(tmp_path, 'profile = "~/family"\ndevice = 3\nplain = true\n')
    assert read_config(tmp_path / "config.toml") == {
        "profile": str(Path.home() / "family"),
        "device": 3,
        "plain": True,
    }


def test_the_version_is_that_of_the_program_and_of_the_weights() -> None:
    manifest = json.loads((ROOT / "model" / "weights" / "manifest.json").read_text(encoding="utf-8"))
    weights = manifest["sha256"]["network.npz"][:12]
    heavy = "{'ai_edge_litert', 'tensorflow', 'keras'}"
    code = f"import sys; from stream.cli import main\ntry: main()\nfinally: print({{*sys.modules}} & {heavy})"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines() == [f"livespeaker {version('livespeaker')}, weights {weights}", "set()"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_quiet_leaves_decisions_and_errors(tmp_path: Path, where: str) -> None:
    command = ["replay", CONVERSATION, "--speed", "max", "--profile", tmp_path]
    quiet = livespeaker(*(["-q", *command] if where == "before" else [*command, "--quiet"]))
    assert quiet.stderr == ""
    assert quiet.stdout == livespeaker(*command).stdout
    wrong = livespeaker("-q", "replay", tmp_path / "gone.wav")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("livespeaker: cannot open")


def test_the_defaults_that_help_tells_are_those_of_the_decisions() -> None:
    config = DecisionConfig()
    for each in ("live", "replay"):
        told = {option.name: option.default for option in typer.main.get_command(app).commands[each].params}
        assert (told["unknown"], told["speech"]) == (config.unknown_prior, config.speech)
