"""What the shell offers for people and devices when Tab is pressed; where something is wrong, nothing."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from stream.cli_config import config_path, read_config
from stream.errors import LivespeakerError

__all__ = ["inputs", "people"]


def people(context: typer.Context, incomplete: str) -> list[str]:
    """The known people whose names begin with what is typed."""
    from model.profile import Profile, default_profile

    with suppress(LivespeakerError):
        profile = Profile(_given(context, "profile") or default_profile(), None)
        return _offered((voice.name for voice in profile.voices), incomplete)
    return []


def inputs(incomplete: str) -> list[str]:
    """The sound inputs whose names begin with what is typed."""
    from stream.devices import list_inputs
    from stream.quiet import quiet_libraries

    with suppress(LivespeakerError), quiet_libraries():
        return _offered(dict.fromkeys(device.name for device in list_inputs()), incomplete)
    return []


def _given(context: Any, option: str) -> Path | None:
    """An option of the command or of one that it belongs to; else what the config file says."""
    while context is not None:
        if given := context.params.get(option):
            return Path(given)
        context = context.parent
    said = read_config(config_path()).get(option)
    return Path(said) if said else None


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    found = [name for name in names if name.startswith(incomplete)]
    # bash puts a word into the line as it is; the other shells quote it.
    if os.environ.get("_LIVESPEAKER_COMPLETE") == "complete_bash":
        return [re.sub(r"([^\w@%+=:,./-])", r"\\\1", name) for name in found]
    return found
