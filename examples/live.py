"""Who speaks into the microphone, by the people that `livespeaker enroll` made known; Ctrl-C ends it.

python examples/live.py [DEVICE]
"""

import sys

from model import Encoder, open_profile, stages_of
from stream import SteadyMicrophone, listen, stopped_by_signals

encoder = Encoder.load()
stages = stages_of(encoder, open_profile(encoder))
microphone = SteadyMicrophone(*sys.argv[1:2])
with stopped_by_signals(microphone):  # Ctrl-C ends the sound, not the loop: the last turn is told too
    for decision in listen(microphone, stages):
        print(decision, flush=True)  # a name with a ? is a guess
