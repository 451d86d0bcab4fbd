"""Learning: the network, its weights, voices and their scores."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.encoder import Encoder

__all__ = ["Encoder"]


def __getattr__(name: str) -> object:
    # Lazy: a program that only looks after a profile loads no network.
    if name == "Encoder":
        from model.encoder import Encoder

        return Encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
