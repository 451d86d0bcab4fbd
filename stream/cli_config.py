"""The user's own defaults: a TOML file in their config folder, which every option on the command line goes before."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stream.errors import UsageError
from stream.text import one_line, safe_text, system_reason

__all__ = ["config_path", "defaults_for", "read_config"]

_VARIABLE = "LIVESPEAKER_CONFIG"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_chance(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


# A key, what it must be, in words, and whether it is. A key is the option of the same name wherever there is one.
_KEYS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "profile": ("a folder, in quotes", _is_text),
    "device": (
        "a name in quotes or a number",
        lambda v: _is_text(v) or (isinstance(v, int) and not isinstance(v, bool)),
    ),
    "unknown": ("a number between 0 and 1", _is_chance),
    "speech": ("a number between 0 and 1", _is_chance),
    "plain": ("true or false", lambda value: isinstance(value, bool)),
}


def config_path() -> Path | None:
    """Where the file is, or would be: `LIVESPEAKER_CONFIG`, else in the user's config folder; None if that is empty."""
    from platformdirs import user_config_path

    named = os.environ.get(_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    return user_config_path("livespeaker", appauthor=False) / "config.toml"


def read_config(path: Path | None) -> dict[str, Any]:
    """What the file says; nothing where there is none, unless somebody named it.

    Raises:
        UsageError: it cannot be read, is no TOML, or has a key or a value that cannot be. The line names file and key.
    """
    if path is None or (not path.exists() and not os.environ.get(_VARIABLE)):
        return {}
    import tomllib

    shown = safe_text(str(path))
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"expected TOML in {shown}, got: {one_line(error)}; correct it, or move it away") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {shown}: {system_reason(error)}; correct it, or move it away") from error
    for key, value in said.items():
        name = safe_text(key)
        if key not in _KEYS:
            raise UsageError(f"expected {', '.join(_KEYS)} in {shown}, got the key {name}; take it out")
        wanted, fits = _KEYS[key]
        if not fits(value):
            raise UsageError(f"expected {wanted} for {name} in {shown}, got {safe_text(repr(value))}; correct it")
    return {key: os.path.expanduser(value) if key == "profile" else value for key, value in said.items()}


def defaults_for(command: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` as `default_map` of a command of Typer's: by command, for the options that a command has."""
    own: dict[str, Any] = {each.name: config[each.name] for each in command.params if each.name in config}
    return own | {name: defaults_for(each, config) for name, each in getattr(command, "commands", {}).items()}
