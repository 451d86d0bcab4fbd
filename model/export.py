"""`livespeaker export`: the network and a fine-tuned head as one model, for programs that are not livespeaker.

Inputs are those of `build_encoder`: `mfcc` (batch, frames, n_mfcc) and `share` (batch, frames), ones for sound that
is all of interest; LiteRT's take one batch of 200 frames. The output is (batch, n + 1): the softmax over the people,
and last "nobody of these". It is not calibrated and knows no cohort, as the live recognizer does. A JSON file beside
it says who is who and what the features are.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder
from model.head import Head
from model.weights import Weights
from stream.clock import SAMPLE_RATE
from stream.errors import OutputError, UsageError
from stream.quiet import quiet_stderr
from stream.records import Block
from stream.text import safe_text, system_reason

__all__ = ["FORMATS", "export"]

FORMATS = {".keras": "a Keras model", "": "a SavedModel folder", ".tflite": "a LiteRT model"}
"""What is written, by the suffix of its name."""

TOLERANCE = 1e-3  # of a probability, between what was written and the network as it is
FRAMES = 200  # of the input that both are asked about, and of every input of a LiteRT model


def export(encoder: Encoder, head: Head, names: Mapping[str, str], samples: NDArray[np.float32], out: Path) -> float:
    """Write a model, once what it says is what the network and the head say.

    Args:
        encoder: the network.
        head: the profile's.
        names: of the people, by identifier.
        samples: (n,) at 16 kHz, somebody's speech, to ask both about.
        out: the new file, or folder; its suffix says the format, see `FORMATS`.

    Returns:
        The largest difference of a probability between the two.

    Raises:
        UsageError: `out` is there already or has another suffix.
        OutputError: it cannot be written, or does not say the same.
    """
    if out.suffix not in FORMATS:
        raise UsageError(
            "expected a name that ends with .keras or .tflite, or a folder without a suffix, got "
            f"{safe_text(out.name)}; give one of these"
        )
    about = out.with_name(out.name + ".json")
    for path in (out, about):
        if os.path.lexists(path):
            raise UsageError(f"expected a new file, {safe_text(str(path))} is there already; give another name")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        from model.network import load_encoder

        network, heard = load_encoder(encoder.weights), _input(encoder, samples)
        model, expected = _with_head(network, head), _expected(network, head, heard)
        try:
            with TemporaryDirectory(prefix=".export-", dir=out.parent) as elsewhere:
                draft = Path(elsewhere) / f"model{out.suffix}"
                said = _write(model, draft, heard)
                difference = float(np.abs(said - expected).max())
                if not difference <= TOLERANCE:
                    raise OutputError(
                        f"expected the exported model to say what the network says, it differs by {difference:.2g}; "
                        "nothing was written: try another format"
                    )
                about.write_text(
                    _about(encoder.weights, head, names, FRAMES if out.suffix == ".tflite" else None), encoding="utf-8"
                )
                shutil.move(draft, out)
        except OSError as error:
            raise OutputError(
                f"expected to write {safe_text(str(out))}, got: {system_reason(error)}; give another name"
            ) from error
    return difference


def _with_head(network: Any, head: Head) -> Any:
    import keras

    turn = keras.layers.Dense(len(head.turn), use_bias=False, name="turn")
    people = keras.layers.Dense(len(head.people) + 1, "softmax", name="people")
    turned = keras.layers.UnitNormalization(name="turned")(turn(network.output["embedding"]))
    model = keras.Model(network.input, people(turned), name="recognizer")
    turn.set_weights([head.turn])
    people.set_weights([head.kernel, head.bias])
    return model


def _input(encoder: Encoder, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    # 2 s of features; what is too short is said again.
    sound = np.resize(samples, FRAMES * encoder.weights.mfcc.hop_length + encoder.weights.mfcc.n_fft)
    (rows,) = encoder.mfcc().push(Block(0, sound))
    return {"mfcc": rows.mfcc[None, :FRAMES], "share": np.ones((1, FRAMES), np.float32)}


def _expected(network: Any, head: Head, heard: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    # What the live recognizer makes of the embedding.
    evidence = head.evidence(np.asarray(network(heard)["embedding"]))
    odds = np.exp(np.append(evidence, np.zeros((1, 1)), axis=1))
    share: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return share


def _write(model: Any, draft: Path, heard: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    # Write it, read it back, and ask it.
    import keras

    if draft.suffix == ".keras":
        model.save(draft)
        return np.asarray(keras.models.load_model(draft)(heard))
    if draft.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        # Slices of an unknown length would need TensorFlow's own operations.
        fixed = {name: keras.Input(rows.shape[1:], batch_size=1, name=name) for name, rows in heard.items()}
        keras.Model(fixed, model(fixed)).export(draft, format="litert", verbose=False)
        run = Interpreter(str(draft)).get_signature_runner()
        return np.asarray(next(iter(run(**heard).values())))
    import tensorflow as tf

    model.export(draft, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(draft))
    return np.asarray(loaded.serve(dict(heard)))


def _about(weights: Weights, head: Head, names: Mapping[str, str], frames: int | None) -> str:
    people = [names[who] for who in head.people]
    about = {
        "format": 1,
        "outputs": [*people, "nobody of these"],
        "inputs": {"mfcc": [frames, weights.mfcc.n_mfcc], "share": [frames]},  # of one of a batch; None is any number
        "sample_rate": SAMPLE_RATE,
        "mfcc": asdict(weights.mfcc) | {"center": False, "top_db": None},
        "weights": weights.sha256,
    }
    return json.dumps(about, ensure_ascii=False, indent=2) + "\n"
