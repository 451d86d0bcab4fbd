"""A network that was trained, wherever that was: one file of its fused weights, its shape, its features, its card.

`livespeaker pretrain --network FILE` makes weights of it that run live. `examples/train_on_gpu.py` writes one.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from model.network import NetworkConfig, fused_layout
from stream.errors import UsageError, WeightsError
from stream.mfcc import MfccConfig
from stream.text import one_line, system_reason

__all__ = ["Trained", "read_trained", "write_trained"]

ABOUT = "about"
"""The array of the file that holds everything but the weights, as JSON text."""

PARTS = ("network", "mfcc", "card")


@dataclass(frozen=True, eq=False, slots=True)
class Trained:
    """A network that only has to be converted, calibrated and described."""

    weights: Mapping[str, NDArray[np.floating]]  # as `fused_weights` gives them
    network: NetworkConfig
    mfcc: MfccConfig
    card: Mapping[str, Any]  # how it was trained and on what: facts that JSON can hold, by name

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(array.size for array in self.weights.values())


def write_trained(file: Path, trained: Trained) -> None:
    """Write a network, beside its place and then into it."""
    about = {"network": asdict(trained.network), "mfcc": asdict(trained.mfcc), "card": dict(trained.card)}
    partial = file.with_name(f"{file.name}.new.npz")
    np.savez(partial, **{ABOUT: np.array(json.dumps(about))}, **trained.weights)  # type: ignore[arg-type] # by name
    partial.replace(file)


def read_trained(file: Path) -> Trained:
    """Read and check a network.

    Args:
        file: an .npz of the arrays that `fused_weights` gives, and of `about`: JSON text with the objects `network`
            (the fields of `NetworkConfig`), `mfcc` (those of `MfccConfig`) and `card`.

    Raises:
        WeightsError: it is none of that: no .npz, layers that are missing or too many, of another shape or kind.
    """
    try:
        trained = _read(file)
        _check(trained)
    except OSError as error:
        raise _none(file, system_reason(error)) from error
    except KeyError as error:
        raise _none(file, f"no {error}") from error
    except (ValueError, TypeError, EOFError, BadZipFile, zlib.error, UsageError) as error:
        raise _none(file, one_line(error)) from error
    return trained


def _none(file: Path, found: str) -> WeightsError:
    return WeightsError(f"expected a trained network in {file}, got: {found}; write it with examples/train_on_gpu.py")


def _read(file: Path) -> Trained:
    with file.open("rb") as opened:
        if not is_zipfile(opened):  # NumPy would take it for a pickle
            raise ValueError("no .npz file")
        with np.load(opened, allow_pickle=False) as arrays:
            weights = dict(arrays)
    about = json.loads(str(weights.pop(ABOUT, "")) or "null")
    if not isinstance(about, dict) or not all(isinstance(about.get(part), dict) for part in PARTS):
        raise ValueError(f"no array {ABOUT!r} that tells {', '.join(PARTS)}")
    network, mfcc, card = (about[part] for part in PARTS)
    shape = NetworkConfig(**{**network, "dilations": tuple(network["dilations"])})
    return Trained(weights, shape, MfccConfig(**mfcc), card)


def _check(trained: Trained) -> None:
    if trained.network.n_mfcc != trained.mfcc.n_mfcc:
        raise ValueError(f"a network of {trained.network.n_mfcc} coefficients, features of {trained.mfcc.n_mfcc}")
    wanted = fused_layout(trained.network)
    if missing := sorted(wanted.keys() - trained.weights.keys()):
        raise ValueError(f"no {', '.join(missing)}")
    for name, array in sorted(trained.weights.items()):
        if name not in wanted:
            raise ValueError(f"{name}, which a network of this shape does not have")
        shape, dtype = wanted[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{name} of shape {array.shape} in {array.dtype} instead of {shape} in {dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} with what is no number")
