"""Who speaks when in a recording, given a recording of each person: the objects of the command line, without it.

    python examples/identify_file.py TALK.wav Ann=ann.wav Ben=ben.flac

Nothing is kept: the voices live as long as the script.
"""

import sys

from model import Encoder
from model.enrol import Enrolment
from model.scoring import Scorer
from model.voices import Voice
from stream.clock import samples_to_seconds
from stream.recognizer import Recognizer, Stages
from stream.records import Turn
from stream.replay import open_source


def learn(encoder: Encoder, name: str, path: str) -> Voice:
    """The voice in a file."""
    enrolment = Enrolment(encoder)
    with open_source(path, speed=None) as source:
        for _ in enrolment.listen(source.blocks(), source.rate):
            pass  # one progress per block: `.percent`, `.advice`
    found = enrolment.finish()
    return Voice(name, found.vectors, found.speech_s, added="", has_audio=False)


def main() -> None:
    talk, *people = sys.argv[1:]
    encoder = Encoder.load()
    voices = [learn(encoder, *person.split("=", 1)) for person in people]
    stages = Stages(encoder.mfcc, encoder.stream, lambda: Scorer(voices, encoder.weights))
    with open_source(talk, speed=None) as source:
        recognizer = Recognizer(stages, source.name, source.rate, source.latency_samples)
        events = [event for block in source.blocks() for event in recognizer.push(block, source.loss)]
        events += recognizer.flush()
    for event in events:
        if isinstance(event, Turn) and event.final:  # the others are guesses; a Gap is lost sound
            print(f"{samples_to_seconds(event.start):7.1f} {samples_to_seconds(event.end):7.1f}  {event.name}")


if __name__ == "__main__":
    main()
