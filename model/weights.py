"""The shipped weights: one folder, one manifest that says what it is, checked when it is loaded.

manifest.json   format version, feature and network settings, calibration, fusion, what it was trained on,
                and the sha256 of every other file
network.npz     16-bit kernels and biases of the fused network, for Keras and for the last layer
step.tflite     the frame layers for LiteRT, one hop at a time
cohort.npy      (n, d) 16-bit embeddings of training speakers, against whom scores are normalised
strangers.npz   16-bit embeddings of windows of training speakers, clean and spoilt, that teach a head what nobody is
mel.npy         (n_mels, n_fft // 2 + 1) the filter bank, so that nobody has to compute it live

Beside it may lie overlap.npz, which tells two people at once, taught on this very network.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from stream.errors import WeightsError
from stream.mfcc import MfccConfig

__all__ = ["FORMAT", "SHIPPED", "Weights", "load_weights_folder", "write_manifest"]

FORMAT = 4
"""Version of the folder's layout. A program refuses what it does not know."""

SHIPPED = Path(__file__).parent / "weights"
"""The weights that come with the package."""

OVERLAP = "overlap.npz"
"""What tells two people at once; the manifest does not list it, since it is taught on a folder that is whole."""

TEACH = "run examples/teach_overlap.py, or take it away"

FILES = ("network.npz", "step.tflite", "cohort.npy", "strangers.npz", "mel.npy")


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """What the live encoder needs, read and checked."""

    folder: Path
    sha256: str  # of the network: profiles remember which one their embeddings came from
    mfcc: MfccConfig
    mel: NDArray[np.float32]  # (n_mels, n_fft // 2 + 1)
    network: Mapping[str, Any]  # the fields of `model.network.NetworkConfig`
    dense: tuple[NDArray[np.float32], NDArray[np.float32]]  # (2 * pooled, d) and (d,): the last layer
    cohort: NDArray[np.float32]  # (n, d) unit length
    calibration: Mapping[str, Any]  # the fields of `model.calibration.Calibration`
    fusion: Mapping[str, Any]  # the fields of `model.calibration.Fusion`
    card: Mapping[str, Any]  # what it was trained on, figures, licence and attribution

    def strangers(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(k, d) unit-length embeddings of windows of training speakers, and (k,) their seconds of speech."""
        with np.load(self.folder / "strangers.npz", allow_pickle=False) as arrays:
            return _unit(arrays["vectors"]), arrays["speech_s"].astype(np.float32)

    def overlap(self) -> tuple[NDArray[np.float32], float] | None:
        """(gates + 2 * pooled,) and a bias: log-odds that two people speak at once; None where nobody taught them.

        Raises:
            WeightsError: they were taught on another network, or are damaged.
        """
        path = self.folder / OVERLAP
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                network, kernel, bias = str(arrays["network"]), arrays["kernel"], float(arrays["bias"])
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise WeightsError(f"expected {OVERLAP} among the weights, got: {error}; {TEACH}") from error
        if network != self.sha256:
            raise WeightsError(f"expected {OVERLAP} of the network beside it, got another's; {TEACH}")
        return kernel.astype(np.float32), bias


def load_weights_folder(folder: Path = SHIPPED) -> Weights:
    """Read and check a folder of weights.

    Raises:
        WeightsError: something is missing, damaged or of another format.
    """
    again = "reinstall livespeaker, or give a folder that `livespeaker pretrain` wrote"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"expected weights in {folder}, got: {error}; {again}") from error
    if manifest.get("format") != FORMAT:
        raise WeightsError(f"expected weights of format {FORMAT}, found {manifest.get('format')} in {folder}; {again}")
    for name in FILES:
        found = _sha256(folder / name, again)
        if found != manifest["sha256"][name]:
            raise WeightsError(f"expected {name} as the manifest in {folder} describes it, found another; {again}")
    with np.load(folder / "network.npz", allow_pickle=False) as arrays:
        dense = (
            arrays["segment_dense/kernel"].astype(np.float32),
            arrays["segment_dense/bias"].astype(np.float32),
        )
    return Weights(
        folder=folder,
        sha256=manifest["sha256"]["network.npz"],
        mfcc=MfccConfig(**manifest["mfcc"]),
        mel=np.load(folder / "mel.npy", allow_pickle=False),
        network=manifest["network"],
        dense=dense,
        cohort=_unit(np.load(folder / "cohort.npy", allow_pickle=False)),
        calibration={name: tuple(values) for name, values in manifest["calibration"].items()},
        fusion={name: tuple(values) for name, values in manifest["fusion"].items()},
        card=manifest["card"],
    )


def write_manifest(
    folder: Path,
    mfcc: MfccConfig,
    network: Mapping[str, Any],
    calibration: Mapping[str, Any],
    fusion: Mapping[str, Any],
    card: Mapping[str, Any],
) -> None:
    """Describe the files that are in `folder` now. The manifest is written last, so that a torn folder is refused."""
    manifest = {
        "format": FORMAT,
        "sha256": {name: _sha256(folder / name, "write it first") for name in FILES},
        "mfcc": asdict(mfcc),
        "network": dict(network),
        "calibration": dict(calibration),
        "fusion": dict(fusion),
        "card": dict(card),
    }
    partial = folder / "manifest.json.new"
    partial.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "manifest.json")


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    wide = rows.astype(np.float32)
    unit: NDArray[np.float32] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit


def _sha256(path: Path, next_step: str) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"expected {path.name} among the weights, got: {error}; {next_step}") from error
