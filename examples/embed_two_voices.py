"""Is it the same person in two recordings?

    python examples/embed_two_voices.py ONE.wav OTHER.flac

Each recording becomes 192 numbers of unit length; their cosine says how alike the voices are.
"""

import sys

import numpy as np
import soundfile as sf

from model import Encoder
from model.scoring import Judge


def embed(encoder: Encoder, path: str) -> np.ndarray:
    """One embedding of all the speech in a file, whatever its rate and its channels."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    return encoder.embed(samples.mean(axis=1), sample_rate=rate)


def main() -> None:
    one, other = sys.argv[1:]
    encoder = Encoder.load()
    first, second = embed(encoder, one), embed(encoder, other)
    # What being alike is worth was measured with the weights: here for a voice heard for 4 s.
    evidence = Judge(first[None], encoder.weights).llr(second[None], np.array([4.0])).item()
    cosine = first @ second
    print(f"cosine {cosine:.2f}, evidence {evidence:+.1f}: {'one voice' if evidence > 0 else 'two voices'}")


if __name__ == "__main__":
    main()
