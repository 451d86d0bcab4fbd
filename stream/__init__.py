"""Sound in, decisions out: everything that runs live.

For programs, beside `model`; what is not named here may change from one version to the next:

    for decision in listen(open_source("talk.wav"), stages_of(encoder, profile)):
        print(decision)

`open_source` (a file or standard input), `SteadyMicrophone` and any `Audible` of one's own give `Block`s of sound;
`listen` tells `Turn`s, `Gap`s and `Notice`s, whose times are samples at `SAMPLE_RATE`. Who is known comes from `model`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.audible import Audible
    from stream.clock import SAMPLE_RATE, samples_to_seconds
    from stream.errors import LivespeakerError
    from stream.listening import listen
    from stream.recognizer import Stages
    from stream.records import UNKNOWN, Block, Gap, Notice, Turn
    from stream.replay import open_source
    from stream.session import stopped_by_signals
    from stream.steady_microphone import SteadyMicrophone

__all__ = [
    "SAMPLE_RATE",
    "UNKNOWN",
    "Audible",
    "Block",
    "Gap",
    "LivespeakerError",
    "Notice",
    "Stages",
    "SteadyMicrophone",
    "Turn",
    "listen",
    "open_source",
    "samples_to_seconds",
    "stopped_by_signals",
]

if not TYPE_CHECKING:  # a type checker would believe every name

    def __getattr__(name: str) -> object:
        # Lazy: the command line answers --help before NumPy is there.
        match name:
            case "SAMPLE_RATE" | "samples_to_seconds":
                from stream import clock as home
            case "UNKNOWN" | "Block" | "Gap" | "Notice" | "Turn":
                from stream import records as home
            case "Audible":
                from stream import audible as home
            case "LivespeakerError":
                from stream import errors as home
            case "Stages":
                from stream import recognizer as home
            case "SteadyMicrophone":
                from stream import steady_microphone as home
            case "listen":
                from stream import listening as home
            case "open_source":
                from stream import replay as home
            case "stopped_by_signals":
                from stream import session as home
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(home, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
