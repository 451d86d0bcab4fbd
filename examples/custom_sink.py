"""Do something when somebody new speaks: run a command with the name as its last argument.

    python examples/custom_sink.py notify-send                                     a desktop notification (Linux)
    python examples/custom_sink.py mosquitto_pub -h HOST -t home/speaker -m        an MQTT message
    python examples/custom_sink.py --file talk.wav echo

Guesses may be wrong, so only final turns count here; take `decision` as it comes to be told sooner.
"""

import subprocess
import sys

from model import Encoder, open_profile, stages_of
from stream import SteadyMicrophone, Turn, listen, open_source, stopped_by_signals


def main() -> None:
    command = sys.argv[1:]
    source = open_source(command[1], speed=None) if command[0] == "--file" else SteadyMicrophone()
    command = command[2:] if command[0] == "--file" else command
    encoder = Encoder.load()
    last = None
    with stopped_by_signals(source):
        for decision in listen(source, stages_of(encoder, open_profile(encoder))):
            if isinstance(decision, Turn) and decision.final and decision.name != last:
                last = decision.name
                # Here goes what you want to happen. It should be quick: sound that waits for longer than 5 s is lost.
                subprocess.run([*command, last], check=False)


if __name__ == "__main__":
    main()
