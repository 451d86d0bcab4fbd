"""Recordings heard as they came and spoilt, to learn from: here, or in a process of its own.

The latter leaves Python in this one to importing Keras, which takes as long:

    python -m model.hearing WEIGHTS SEED

reads recordings from standard input, and writes what `listen` gives, to the bit, to standard output.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder, HopSums, Pooling
from stream.clock import HOP_SAMPLES, SAMPLE_RATE

__all__ = ["Heard", "listen", "overhear"]

Floats = NDArray[np.float32]
Heard = list[list[list[HopSums]]]
"""Of every recording, of it as it came and of copies that are spoilt, the hops."""

COPIES = 7  # of every recording: as it came, and spoilt in other ways


def listen(
    recordings: Sequence[Floats],
    encoder: Encoder,
    rng: np.random.Generator,
    on_done: Callable[[int, int], None] = lambda _done, _total: None,
) -> Heard:
    """Of every recording, of it as it came and of copies that are spoilt, the hops.

    Args:
        recordings: (n,) each, at 16 kHz.
        encoder: the network.
        rng: draws what spoils them.
        on_done: called with (recordings done, recordings in all).
    """
    # SciPy takes a second to import: where another process listens, it starts that second earlier.
    from model.augment import augment
    from model.made_noise import KINDS, make_noise

    noises = [make_noise(kind, seed=(int(rng.integers(2**31)),)) for kind in KINDS for _ in range(2)]

    def copies_of(samples: Floats, own: np.random.Generator) -> list[list[HopSums]]:
        copies = [samples] + [augment(samples, noises, [], [], own) for _ in range(COPIES - 1)]
        return [encoder.hops(copy, sample_rate=SAMPLE_RATE) for copy in copies]

    heard = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for copies in threads.map(copies_of, recordings, rng.spawn(len(recordings))):
            heard.append(copies)
            on_done(len(heard), len(recordings))
    return heard


@contextmanager
def overhear(
    recordings: Sequence[Floats], encoder: Encoder, seed: int, on_done: Callable[[int, int], None]
) -> Iterator[Callable[[], tuple[Heard, np.random.Generator] | None]]:
    """Begin to listen; what is yielded waits for the end.

    It gives what `listen` does with a generator from `seed`, and that generator as it is afterwards; None where the
    process could not be started or did not come to its end: then whoever asked listens.

    Args:
        recordings: (n,) each, at 16 kHz.
        encoder: the network.
        seed: of what spoils them.
        on_done: see `listen`; called by another thread.
    """
    # -P: else a folder called `model` where the user happens to be would be taken for this one.
    command = [sys.executable, "-P", "-m", "model.hearing", str(encoder.weights.folder), str(seed)]
    size = Pooling(encoder.weights).n_sums
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null)  # noqa: S603 - this Python
    except OSError:
        yield lambda: None
        return

    def converse() -> tuple[Heard, np.random.Generator] | None:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        with suppress(OSError, ValueError):  # it has ended early: a broken pipe, or half a line
            with process.stdin as to:
                to.write(json.dumps([len(samples) for samples in recordings]).encode() + b"\n")
                to.writelines(np.ascontiguousarray(samples, np.float32).data for samples in recordings)
            while isinstance(said := json.loads(process.stdout.readline()), int):
                on_done(said, len(recordings))
            rng = np.random.default_rng(seed)
            rng.bit_generator.state = said["state"]
            return [[_received(process.stdout, speech, size) for speech in copies] for copies in said["speech"]], rng
        return None

    with process, ThreadPoolExecutor(1) as thread:
        try:
            answer = thread.submit(converse)
            yield answer.result
        finally:
            process.kill()  # it has written all that there is, or nobody wants it any more


def _received(stream: IO[bytes], speech: list[float], size: int) -> list[HopSums]:
    sums = np.frombuffer(stream.read(4 * len(speech) * size), np.float32).reshape(len(speech), size).astype(np.float64)
    return [HopSums(i * HOP_SAMPLES, row, spoken) for i, (row, spoken) in enumerate(zip(sums, speech, strict=True))]


def main() -> None:
    """Read, listen, write; a line for every recording that is done."""
    lengths = json.loads(sys.stdin.buffer.readline())
    recordings = [np.frombuffer(sys.stdin.buffer.read(4 * n), np.float32) for n in lengths]
    rng = np.random.default_rng(int(sys.argv[2]))
    heard = listen(
        recordings,
        Encoder.load(Path(sys.argv[1])),
        rng,
        lambda done, _total: print(done, flush=True),  # noqa: T201 - into a pipe
    )
    speech = [[[hop.speech for hop in hops] for hops in copies] for copies in heard]
    print(json.dumps({"state": rng.bit_generator.state, "speech": speech}), flush=True)  # noqa: T201
    for copies in heard:
        for hops in copies:
            sys.stdout.buffer.writelines(hop.sums.astype(np.float32).tobytes() for hop in hops)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
