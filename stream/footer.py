"""What stands below the session on the screen: which keys there are, what is asked, what was just done."""

from dataclasses import dataclass

__all__ = ["Footer"]


@dataclass(frozen=True, slots=True)
class Footer:
    """The part of the screen that belongs to the keys. Replaced whole; the screen only reads."""

    keys: tuple[tuple[str, str], ...] = (("Ctrl-C", "ends"),)  # a key and what it does, the most wanted first
    message: str = ""  # what was just done, or could not be
    alarming: bool = False  # the message is about something that failed
    asked: str = ""  # the question that a name answers, which is being typed
    typed: str = ""  # the name so far
    state: str = ""  # what differs from plain listening: "paused", "recording to x.flac"
    hint: str = ""  # how to get to know somebody, for the time when nobody is known
    page: tuple[str, ...] = ()  # lines in place of the people and turns: help, or a choice
