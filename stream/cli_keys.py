"""What a running session can learn when a key asks for it: the command line's own enrolling and fine-tuning."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.encoder import Encoder
    from stream.controls import Abilities
    from stream.records import Block
    from stream.session import Source

__all__ = ["abilities"]

_MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from stream.cli import main; main()"


def abilities(encoder: "Encoder", folder: Path | None, source: "Source") -> "Abilities":
    """All that a session with this profile can do.

    Args:
        encoder: the network.
        folder: of the profile; None is the default one.
        source: what is listened to.
    """
    from model.profile import default_profile
    from stream.controls import Abilities, CanChoose
    from stream.devices import list_inputs

    where = folder or default_profile()

    def enrol(name: str, sound: "Sequence[Block]", rate: int) -> str:
        from model.divide import check_one_voice
        from model.enrol import Enrolment
        from model.profile import check_name
        from stream.cli_people import keep
        from stream.cli_shared import open_profile

        name = check_name(name)
        check_one_voice(encoder, sound, rate)
        enrolment = Enrolment(encoder)
        for _ in enrolment.listen(sound, rate):
            pass
        # Opened anew, as another program would: the session sees that it has changed, and follows.
        _, profile = open_profile(where, encoder=encoder)
        said, *_ = keep(encoder, profile, name, enrolment)
        return said

    # -P: nothing in the folder that the user happens to be in is imported.
    own = str(Path(__file__).parents[1])
    command = [sys.executable, "-P", "-c", _MAIN, own, "fine-tune", "--profile", os.fspath(where)]
    if isinstance(source, CanChoose):
        return Abilities(enrol, command, source, list_inputs)
    return Abilities(enrol, command)
