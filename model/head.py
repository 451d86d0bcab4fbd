"""The fine-tuned last layers: what tells the people of one profile apart, and from strangers.

    embedding (d,) -> turn (d, d), unit length -> kernel (d, n + 1), bias -> softmax over n people and "nobody of these"

`model.fine_tune` trains one; a profile keeps it; live it is two small matrix products, without TensorFlow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Head"]


@dataclass(frozen=True, eq=False, slots=True)
class Head:
    """Layers that follow the embedding.

    Args:
        people: identifiers of the people that it knows, in the order of its outputs; "nobody of these" comes last.
        turn: (d, d) float32, what embeddings are multiplied by first.
        kernel: (d, n + 1) float32.
        bias: (n + 1,) float32.
        threshold: natural-log units that a person's likelihood ratio must be higher to mean the same, at least 0: so
            that no more strangers get a name than without the head.

    Raises:
        ValueError: shapes that do not fit together, or values that are no numbers.
    """

    people: tuple[str, ...]
    turn: NDArray[np.float32]
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    threshold: float = 0.0

    def __post_init__(self) -> None:
        n, d = len(self.people), self.turn.shape[-1]
        shapes = self.turn.shape, self.kernel.shape, self.bias.shape
        if n == 0 or shapes != ((d, d), (d, n + 1), (n + 1,)):
            raise ValueError(f"wanted layers for {n} people, got shapes {shapes}")
        if not all(np.isfinite(array).all() for array in (self.turn, self.kernel, self.bias, self.threshold)):
            raise ValueError("wanted finite layers, got others")

    def evidence(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(m, n) how much more a voice is each person's than nobody's, in natural-log units, not calibrated.

        Args:
            vectors: (m, d) embeddings of unit length; zeros, where nothing was heard, stay without meaning.
        """
        turned = np.asarray(vectors @ self.turn, np.float32)
        turned /= np.maximum(np.sqrt(np.square(turned).sum(axis=1, keepdims=True)), 1e-6)
        logits: NDArray[np.float32] = turned @ self.kernel + self.bias
        return logits[:, :-1] - logits[:, -1:]
