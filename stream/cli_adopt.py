"""A guest of a saved session becomes a person; while a session runs, the key `e` does that."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_completion import people
from stream.cli_people import enrol
from stream.cli_shared import ForceOption, KeepAudioOption, ProfileOption, check_writable, open_profile, say

__all__ = ["adopt"]


def adopt(
    context: typer.Context,
    guest: Annotated[str, typer.Argument(help="As the session called them, such as guest-1.")],
    name: Annotated[str, typer.Argument(help="Who it is: any text.", autocompletion=people)],
    session: Annotated[Path, typer.Argument(metavar="SESSION", help="What --jsonl wrote.")],
    sound: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What --record wrote. [default: beside SESSION, by its name or its source's]"
        ),
    ] = None,
    keep_audio: KeepAudioOption = True,
    force: ForceOption = False,
    profile: ProfileOption = None,
) -> None:
    """Make a guest of a saved session a known person."""
    from model.profile import check_name
    from stream.replay import WavReplay
    from stream.saved_session import Excerpt, read_session, sound_of, turns_of

    folder = profile or context.obj
    name, saved = check_name(name), read_session(session)
    turns = turns_of(saved, guest)
    source = Excerpt(WavReplay(sound_of(saved, session, sound), speed=None), turns)
    encoder, known = open_profile(folder)
    check_writable(folder)
    for line in enrol(encoder, known, name, [source], keep_audio=keep_audio, force=force):
        say(line)
