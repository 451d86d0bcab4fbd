"""Resemblyzer (GE2E, Apache-2.0), the peer that the encoder is measured against.

A program of its own, run by the Python of an environment that has Resemblyzer, which needs PyTorch and is
never a dependency:

    python peer.py CROPS.npz VECTORS.npz    embeds crops: from `samples` (all of them in a row, float32 mono at 16 kHz)
                                            and `lengths` (n,) to `vectors` (n, 256)
    python peer.py SOUND.npy                embeds windows of 1.6 s of (n,) samples, and says what each took: `answer`

each as `VoiceEncoder.embed_utterance` gives it.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

WINDOW = 25_600  # samples, 1.6 s: what the peer's network hears at a time


def main() -> None:
    """Read, embed, write; a line for every hundred crops."""
    import torch
    from resemblyzer import VoiceEncoder, normalize_volume

    torch.set_num_threads(1)
    encoder = VoiceEncoder("cpu", verbose=False)

    def embed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = encoder.embed_utterance(normalize_volume(samples, -30, increase_only=True))
        return vector

    if len(sys.argv) == 2:
        sound = np.load(sys.argv[1], allow_pickle=False)
        answer({"Resemblyzer, window of 1.6 s": lambda end: embed(sound[end - WINDOW : end])})
        return
    with np.load(sys.argv[1], allow_pickle=False) as crops:
        cuts = np.cumsum(crops["lengths"])[:-1]
        samples = np.split(crops["samples"], cuts)
    vectors = []
    for i, crop in enumerate(samples):
        vectors.append(embed(crop))
        if i % 100 == 0:
            print(i, flush=True)  # noqa: T201 - whoever runs it reads how far it is
    np.savez(sys.argv[2], vectors=np.array(vectors, np.float32))


def answer(ways: Mapping[str, Callable[[int], object]]) -> None:
    """Name the ways in a line of JSON; then, for every line with the end of a window, say what each way took.

    That is, milliseconds by the wall and of processor time; the wall's twice where the latter is counted coarsely.
    """
    fine = time.get_clock_info("process_time").resolution <= 1e-6
    processor_ns = time.process_time_ns if fine else time.perf_counter_ns
    print(json.dumps([*ways]), flush=True)  # noqa: T201 - into a pipe
    for line in sys.stdin:
        spent = []
        for decide in ways.values():
            began, busy = time.perf_counter_ns(), processor_ns()
            decide(int(line))
            spent.append(((time.perf_counter_ns() - began) / 1e6, (processor_ns() - busy) / 1e6))
        print(json.dumps(spent), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
