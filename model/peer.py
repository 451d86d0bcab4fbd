"""Embed crops with Resemblyzer (GE2E, Apache-2.0), the peer that the encoder is measured against.

A program of its own, run by the Python of an environment that has Resemblyzer, which needs PyTorch and is
never a dependency: `python peer.py CROPS.npz VECTORS.npz`, from `samples` (all crops in a row, float32 mono at
16 kHz) and `lengths` (n,) to `vectors` (n, 256), each as `VoiceEncoder.embed_utterance` gives it.
"""

import sys

import numpy as np


def main() -> None:
    """Read, embed, write; a line for every hundred crops."""
    import torch
    from resemblyzer import VoiceEncoder, normalize_volume

    torch.set_num_threads(1)
    encoder = VoiceEncoder("cpu", verbose=False)
    with np.load(sys.argv[1], allow_pickle=False) as crops:
        cuts = np.cumsum(crops["lengths"])[:-1]
        samples = np.split(crops["samples"], cuts)
    vectors = []
    for i, crop in enumerate(samples):
        vectors.append(encoder.embed_utterance(normalize_volume(crop, -30, increase_only=True)))
        if i % 100 == 0:
            print(i, flush=True)  # noqa: T201 - whoever runs it reads how far it is
    np.savez(sys.argv[2], vectors=np.array(vectors, np.float32))


if __name__ == "__main__":
    main()
