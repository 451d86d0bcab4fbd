"""What the documents tell to type works: Python runs, and commands are known to the command line with their options."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import typer

from stream.cli import app
from stream.demonstration import CONVERSATION, ENROLMENT
from tests.talk import ROOT

# In any folder, so that pages that are added later are looked at too; not in environments and what tools keep.
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("build", "dist") for part in path.relative_to(ROOT).parts)
)
PAGES = pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
COMMAND = typer.main.get_command(app)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]*(?:\n[^`\n]+)?)`")


def python_blocks(text: str) -> Iterator[str]:
    """Every fenced block of Python."""
    yield from (body for language, body in _FENCE.findall(text) if language in ("python", "py"))


def commands(text: str) -> Iterator[str]:
    """Every command line that calls livespeaker: in fences, and between backquotes."""
    for language, body in _FENCE.findall(text):
        if language in ("", "sh", "bash", "console"):
            for line in body.splitlines():
                yield from _commands(line)
    for code in _INLINE.findall(_FENCE.sub("", text)):
        yield from _commands(" ".join(code.split()))


def _commands(line: str) -> Iterator[str]:
    """What follows `livespeaker`, to a pipe or an explanation after two spaces; with each option that this names."""
    found = re.match(r"(?:.*\| *)?(?:\.venv/bin/|\$ )?livespeaker (?=[a-z-])(.*)", line.strip())
    if found:
        called, *explained = re.split(r"  +| [|>#&] ?|[<;]", found[1], maxsplit=1)
        yield called.strip()
        yield from (f"{called.strip()} {option}=X" for option in re.findall(r"--[a-z-]+", *explained or [""]))


def check(command: str) -> None:
    """Follow a command line through the real commands: each word is one of them or fits a parameter.

    Values are not looked at: a document may say FILE, where a file must be.
    """
    words = shlex.split(command.replace("...", "").replace("[", "").replace("]", ""))
    at: Any = COMMAND  # typer carries its own click, under a name that may change
    while hasattr(at, "commands") and words and not words[0].startswith("-"):
        if words[0] == words[0].upper():
            return  # `livespeaker COMMAND`
        assert words[0] in at.commands, f"livespeaker has no command {words[0]!r} in: {command}"
        at = at.commands[words.pop(0)]
    options = {name: each for each in at.params if each.param_type_name == "option" for name in _names(each)}
    plain = 0
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            plain += 1
            continue
        name, _, value = word.partition("=")
        if name == "--help":
            continue
        assert name in options, f"{at.name} has no option {name}: {command}"
        if not options[name].is_flag and not value:
            assert words, f"{name} wants a value: {command}"
            words.pop(0)
    arguments = [each for each in at.params if each.param_type_name == "argument"]
    room = sum(each.nargs if each.nargs > 0 else 1_000 for each in arguments)
    assert plain <= room, f"{at.name} takes {room} arguments, got {plain}: {command}"


def _names(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def headings(text: str) -> set[str]:
    """How GitHub calls the headings of a page in a link: small letters, no punctuation, a hyphen for a space."""
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in _HEADING.findall(_FENCE.sub("", text))}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Where a page leads to within the repository: a file, and a heading or nothing."""
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in link:
            file, _, heading = link.partition("#")
            yield (page.parent / file).resolve() if file else page, heading


@PAGES
def test_every_link_in_a_document_leads_somewhere(page: Path) -> None:
    for target, heading in links(page):
        assert target.exists(), f"{page.name} leads to {target}"
        assert not heading or heading in headings(target.read_text(encoding="utf-8")), f"no #{heading} in {target}"


def test_every_guide_is_found_from_the_readme() -> None:
    found = {target for target, _ in links(ROOT / "README.md")}
    assert {page for page in DOCUMENTS if page.parent == ROOT / "docs"} <= found


@PAGES
def test_every_command_in_a_document_is_one_and_its_options_exist(page: Path) -> None:
    for command in commands(page.read_text(encoding="utf-8")):
        check(command)


def test_the_documents_do_show_commands() -> None:
    shown = {command for page in DOCUMENTS for command in commands(page.read_text(encoding="utf-8"))}
    assert len(shown) > 30
    called = {command.split()[0] for command in shown}
    assert called >= {"demo", "devices", "enroll", "fine-tune", "live", "replay", "speakers", "evaluate", "export"}


@pytest.mark.parametrize(
    "wrong",
    [
        "livespeaker listen",
        "livespeaker live --mike 2",
        "livespeaker replay a.wav b.wav",
        "livespeaker live --device",
        "livespeaker live    --mike N chooses another",
    ],
)
def test_a_command_that_is_none_is_found(wrong: str) -> None:
    [*_, command] = commands(f"Do this:\n\n```\n{wrong}\n```\n")
    with pytest.raises(AssertionError):
        check(command)


PYTHON = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in DOCUMENTS
    for number, code in enumerate(python_blocks(page.read_text(encoding="utf-8")))
]


def test_there_is_python_in_the_documents() -> None:
    assert PYTHON


@pytest.mark.parametrize("code", PYTHON)
def test_python_in_a_document_runs(code: str, tmp_path: Path) -> None:
    for name, file in (("ann", ENROLMENT["Sally"]), ("ben", ENROLMENT["Rob"]), ("talk", CONVERSATION)):
        sf.write(tmp_path / f"{name}.wav", *sf.read(file))
    # The user's data folder is another one, on every system.
    home = {name: str(tmp_path / "home") for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "USERPROFILE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | home | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    if "listen(" in code:
        assert "Ann" in done.stdout
