"""Learning: the network, its weights, voices and their scores.

For programs, beside `stream`; what is not named here may change from one version to the next:

    encoder = Encoder.load()
    profile = open_profile(encoder)  # the people that the command line knows; a folder is another profile
    stages = stages_of(encoder, profile)  # for `stream.listen`

`learn_voice` makes `References` of a person's speech. `Profile.add` keeps them, or `References.voice` makes a `Voice`
of them for as long as the program runs. `Encoder.embed` makes 192 numbers of a recording.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.encoder import Encoder
    from model.enrol import References
    from model.joined import learn_voice, open_profile, stages_of
    from model.profile import Profile, Voice

__all__ = ["Encoder", "Profile", "References", "Voice", "learn_voice", "open_profile", "stages_of"]

if not TYPE_CHECKING:  # a type checker would believe every name

    def __getattr__(name: str) -> object:
        # Lazy: a program that only looks after a profile loads no network.
        match name:
            case "Encoder":
                from model import encoder as home
            case "Profile" | "Voice":
                from model import profile as home
            case "References":
                from model import enrol as home
            case "learn_voice" | "open_profile" | "stages_of":
                from model import joined as home
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(home, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
