"""Who speaks when in a recording, given a recording of each person.

    python examples/identify_file.py TALK.wav Ann=ann.wav Ben=ben.flac

Nothing is kept: the voices live as long as the script.
"""

import sys

from model import Encoder, learn_voice, stages_of
from stream import Turn, listen, open_source, samples_to_seconds


def main() -> None:
    talk, *people = sys.argv[1:]
    encoder = Encoder.load()
    named = [person.split("=", 1) for person in people]
    voices = [learn_voice(encoder, open_source(file, speed=None)).voice(name) for name, file in named]
    for decision in listen(open_source(talk, speed=None), stages_of(encoder, voices)):
        if isinstance(decision, Turn) and decision.final:  # the others are guesses; a Gap is lost sound
            start_s, end_s = samples_to_seconds(decision.start), samples_to_seconds(decision.end)
            print(f"{start_s:7.1f} {end_s:7.1f}  {decision.name}")


if __name__ == "__main__":
    main()
