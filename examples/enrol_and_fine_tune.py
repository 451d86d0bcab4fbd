"""Make people known, learn to tell them apart, and say who is who: what `enroll`, `fine-tune` and `speakers` do.

    python examples/enrol_and_fine_tune.py PROFILE Ann=ann.wav Ben=ben1.flac Ben=ben2.flac

PROFILE is a folder, which `livespeaker live --profile PROFILE` can use afterwards.
"""

import sys
from collections import defaultdict
from pathlib import Path

from model import Encoder, learn_voice, open_profile
from model.fine_tune import fine_tune
from stream import open_source


def main() -> None:
    folder, *people = sys.argv[1:]
    files = defaultdict(list)
    for person in people:
        name, file = person.split("=", 1)
        files[name].append(file)

    encoder = Encoder.load()
    profile = open_profile(encoder, Path(folder))
    for name, recordings in files.items():
        found = learn_voice(encoder, *(open_source(file, speed=None) for file in recordings))
        profile.add(name, found.vectors, found.speech_s, found.audio)  # the audio is what fine-tuning learns from
        print(f"{name}: {found.speech_s.sum():.0f} s of speech")

    tuned = fine_tune(profile.recordings(), encoder)  # tried on a part that it did not learn from
    if tuned.better:
        print(f"head {profile.take_head(tuned.head)} is in use: {tuned.figures}")
    else:
        print(f"nothing was changed: {tuned.figures}")


if __name__ == "__main__":
    main()
