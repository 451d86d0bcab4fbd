"""Sound from a source of one's own: here a TCP socket, to which another machine sends raw samples.

    python examples/custom_source.py 5004           and on the machine with the microphone:
    ffmpeg -f alsa -i default -ac 1 -ar 16000 -f s16le tcp://THIS-MACHINE:5004

Whoever can reach the port can send sound. A source needs a name, a rate and blocks; one that is a context manager is
opened and closed as well.
"""

import socket
import sys
from collections.abc import Iterator

import numpy as np

from model import Encoder, open_profile, stages_of
from stream import Block, listen


class Socket:
    """Signed 16-bit little-endian samples, mono, from the first who connects."""

    rate = 16_000

    def __init__(self, port: int) -> None:
        self.name = f"port {port}"
        self._server = socket.create_server(("", port))

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def blocks(self) -> Iterator[Block]:
        connection, _ = self._server.accept()
        at, rest = 0, b""
        with connection:
            while received := connection.recv(3_200):  # at most 100 ms, as soon as it is there
                received = rest + received
                whole = len(received) // 2 * 2
                samples = np.frombuffer(received[:whole], "<i2").astype(np.float32) / 32_768  # full scale is [-1, 1]
                rest = received[whole:]
                if len(samples):
                    yield Block(at, samples, self.rate)  # `at` would jump where sound is known to be lost
                at += len(samples)


def main() -> None:
    encoder = Encoder.load()
    stages = stages_of(encoder, open_profile(encoder))
    for decision in listen(Socket(int(sys.argv[1])), stages):
        print(decision, flush=True)


if __name__ == "__main__":
    main()
