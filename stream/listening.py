"""Listening, for programs: any source in, decisions out, one after the other."""

from collections.abc import Iterator
from contextlib import closing

from stream.audible import Audible, sound_of
from stream.recognizer import Recognizer, Stages
from stream.records import Gap, Notice, Turn

__all__ = ["listen"]


def listen(source: Audible, stages: Stages) -> Iterator[Turn | Gap | Notice]:
    """Who is speaking, as it is decided. Leaving the loop closes the source.

    Args:
        source: a microphone, a file, standard input, or an object of your own.
        stages: from `model.stages_of`. A session remembers its strangers by them: make new ones for a new session.

    Yields:
        `Turn`: with `final` False a guess about the turn that goes on, which another with the same `start` may replace
        or silence may take back; with `final` True one that is over and stands. `Gap`: sound that was lost. `Notice`:
        what happened to a microphone. Times are samples at 16 kHz since the start.

    Raises:
        AudioError: the source fails. What had been heard before is decided, and comes first.
        UsageError: the source's rate or its blocks cannot be.
    """
    with closing(sound_of(source)) as sound:
        recognizer = Recognizer(stages, source.name, source.rate)
        try:
            for heard in sound:
                if isinstance(heard, Notice):
                    yield from recognizer.notice(heard, source.name)
                    yield heard
                else:
                    yield from recognizer.push(heard)
        except Exception:
            yield from recognizer.flush()
            raise
        yield from recognizer.flush()
