"""The laws of the network: fused equals trained, and streamed equals offline."""

import math
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest

from model.encoder import WINDOW_HOPS, FrameLayers, Pooling, StreamingEncoder
from model.feature_store import mel_filter_bank
from model.network import NetworkConfig, StepNorm, build_encoder, fused_weights, load_weights
from model.ship import export_step
from model.weights import FILES, SHIPPED, Weights, load_weights_folder, write_manifest
from stream.mfcc import MfccConfig
from stream.records import Embedding, Frames
from tests.parity import assert_streams_alike

TINY = NetworkConfig(n_mfcc=20, channels=24, pooled=32, dilations=(2, 3), embedding=16)
MFCC = MfccConfig(n_mels=24, n_mfcc=20)
MIN_SPEECH_S = 0.1  # of speech, below which a window has no embedding


def trained(config: NetworkConfig) -> keras.Model:
    """A network in which every weight and every statistic is something, as after a training."""
    keras.utils.set_random_seed(1)
    encoder = build_encoder(config, fused=False)
    rng = np.random.default_rng(2)
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization | StepNorm):
            for weight in layer.weights:
                spread = rng.uniform(0.5, 2.0, weight.shape)  # of variances and factors
                weight.assign(
                    spread if weight.name in ("gamma", "moving_variance") else rng.normal(0.0, 0.3, spread.shape)
                )
    # MFCC are hundreds large: what is lost on the way to LiteRT is lost here.
    n = config.n_mfcc - 1
    norm = encoder.get_layer("mfcc_norm")
    norm.set_weights([np.append(-300.0, rng.normal(0.0, 40.0, n)), np.append(8000.0, rng.uniform(80.0, 900.0, n))])
    # Mostly speech: a pause would begin the windows anew.
    voiced = encoder.get_layer("voiced")
    voiced.set_weights([voiced.get_weights()[0], np.array([2.0])])
    return encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    weights = fused_weights(trained(TINY))
    np.savez(path / "network.npz", **weights)
    np.save(path / "mel.npy", mel_filter_bank(MFCC))
    np.save(path / "cohort.npy", np.eye(3, TINY.embedding, dtype=np.float16))
    export_step(TINY, weights, path / "step.tflite", exact=True)
    np.savez(path / "strangers.npz", vectors=np.eye(3, TINY.embedding, dtype=np.float16), speech_s=np.ones(3))
    calibration = {"seconds": [1.0], "slope": [1.0], "offset": [0.0]}
    write_manifest(path, MFCC, asdict(TINY), calibration, calibration | {"evidence_slope": [1.0]}, {"name": "tiny"})
    return path


def shipped() -> Path:
    if not (SHIPPED / "manifest.json").exists():
        pytest.skip("no weights are shipped yet")
    return SHIPPED


@pytest.fixture(params=["tiny", "shipped"])
def weights(request: pytest.FixtureRequest, folder: Path) -> Weights:
    return load_weights_folder(folder if request.param == "tiny" else shipped())


def network_of(weights: Weights) -> NetworkConfig:
    fields = dict(weights.network)
    return NetworkConfig(**{**fields, "dilations": tuple(fields["dilations"])})


def offline(weights: Weights) -> keras.Model:
    encoder = build_encoder(network_of(weights), fused=True)
    with np.load(weights.folder / "network.npz", allow_pickle=False) as arrays:
        load_weights(encoder, dict(arrays))
    return encoder


def frames_of(weights: Weights, n: int, seed: int = 3) -> Frames:
    """Rows about where the network's own normalisation expects them, all of them more or less speech."""
    rng = np.random.default_rng(seed)
    with np.load(weights.folder / "network.npz", allow_pickle=False) as arrays:
        mean, variance = arrays["mfcc_norm/mean"], arrays["mfcc_norm/variance"]
    rows = mean + np.sqrt(variance) * rng.normal(size=(n, len(mean)))
    return Frames(0, rows.astype(np.float32))


def assert_same_voice(got: np.ndarray, want: np.ndarray, weights: Weights) -> None:
    """Equal to 1e-4; as alike as 8 bits leave them where the frame layers multiply in 8 bits."""
    if weights.folder == SHIPPED and want.any():
        assert got @ want > 0.99  # of noise; of speech it is 0.9993 on average
    else:
        np.testing.assert_allclose(got, want, atol=1e-4)


def offline_voice(encoder: keras.Model, mfcc: np.ndarray, share: np.ndarray, stride: int) -> tuple[np.ndarray, float]:
    """Embedding of the share of a clip, and the seconds of speech in it."""
    said = encoder.predict({"mfcc": mfcc[None], "share": share[None]}, verbose=0)
    speech_s = float(said["voiced"][0, :, 0] @ share.reshape(-1, stride).mean(axis=1)) * stride / 100
    return said["embedding"][0] * (speech_s >= MIN_SPEECH_S), speech_s


def pieces_of(frames: Frames):
    def cut(sizes):
        at, pieces = 0, []
        for size in sizes:
            keep = slice(at, at + size)
            pieces.append(Frames(at * 160, frames.mfcc[keep].copy()))
            at += size
        return pieces

    return cut


def gather(out: list[Embedding]) -> dict[str, np.ndarray]:
    return {
        "start": np.array([e.start for e in out]),
        "vectors": np.stack([e.vectors for e in out]),
        "speech_s": np.stack([e.speech_s for e in out]),
        "speech": np.array([e.speech for e in out]),
    }


def test_the_fused_network_equals_the_trained_one_to_16_bit_rounding():
    encoder = trained(TINY)
    fused = build_encoder(TINY, fused=True)
    load_weights(fused, fused_weights(encoder))
    rng = np.random.default_rng(4)
    mean, variance = encoder.get_layer("mfcc_norm").get_weights()
    mfcc = (mean + np.sqrt(variance) * rng.normal(size=(3, 120, TINY.n_mfcc))).astype(np.float32)
    # The fused network sees by itself what is speech; the trained one is told, here by itself.
    voiced = encoder.predict({"mfcc": mfcc, "share": np.ones((3, 120), np.float32)}, verbose=0)["voiced"]
    told = np.repeat(voiced[..., 0], TINY.stride, axis=1)
    before = encoder.predict({"mfcc": mfcc, "share": told}, verbose=0)["embedding"]
    after = fused.predict({"mfcc": mfcc, "share": np.ones((3, 120), np.float32)}, verbose=0)["embedding"]
    assert voiced.std() > 0.05
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert np.abs(before[0] - before[1]).max() > 1e-2  # it is no constant that they agree on


def test_the_norm_of_the_steps_is_keras_s_once_it_is_trained():
    rng = np.random.default_rng(7)
    x = rng.normal(2.0, 3.0, (16, 80, 5)).astype(np.float32)
    ours, theirs = StepNorm(), keras.layers.BatchNormalization()
    for _ in range(300):
        ours(x, training=True)
        theirs(x, training=True)
    np.testing.assert_allclose(ours(x), theirs(x), atol=0.3)  # a quarter of the steps know the moments nearly
    some = np.repeat(x[:, ::4], 4, axis=1)  # of which every fourth step tells all
    np.testing.assert_allclose(ours(some, training=True), theirs(some, training=True), atol=1e-4)


def test_a_geometry_is_fused_into_the_last_layer():
    encoder, rng = trained(TINY), np.random.default_rng(6)
    geometry = rng.normal(size=(TINY.embedding, TINY.embedding))
    fused = build_encoder(TINY, fused=True)
    load_weights(fused, fused_weights(encoder, geometry))
    mean, variance = encoder.get_layer("mfcc_norm").get_weights()
    mfcc = (mean + np.sqrt(variance) * rng.normal(size=(3, 60, TINY.n_mfcc))).astype(np.float32)
    every = np.ones((3, 60), np.float32)
    told = np.repeat(encoder.predict({"mfcc": mfcc, "share": every}, verbose=0)["voiced"][..., 0], TINY.stride, axis=1)
    want = encoder.predict({"mfcc": mfcc, "share": told}, verbose=0)["embedding"] @ geometry
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    got = fused.predict({"mfcc": mfcc, "share": every}, verbose=0)["embedding"]
    np.testing.assert_allclose(got, want, atol=3e-3)


def test_streamed_windows_equal_the_offline_network_however_the_frames_are_cut(weights: Weights):
    # 67 frames: the last hop is not whole, and its last frame is not even a whole step.
    frames = frames_of(weights, 67)
    got = assert_streams_alike(
        lambda: StreamingEncoder(FrameLayers(weights), Pooling(weights)),
        pieces_of(frames),
        67,
        hop=10,
        gather=gather,
        atol=1e-5,
    )
    assert got["vectors"].shape == (7, len(WINDOW_HOPS), network_of(weights).embedding)
    encoder, stride = offline(weights), network_of(weights).stride
    for hop in range(7):
        end = min((hop + 1) * 10, 67 // stride * stride)
        for row, hops in enumerate(WINDOW_HOPS):
            # What came before a window has passed through the frame layers, and is not pooled.
            share = (np.arange(end) >= (hop + 1 - hops) * 10).astype(np.float32)
            want, speech_s = offline_voice(encoder, frames.mfcc[:end], share, stride)
            assert_same_voice(got["vectors"][hop, row], want, weights)
            assert got["speech_s"][hop, row] == pytest.approx(speech_s, abs=5e-2 if weights.folder == SHIPPED else 1e-4)


@pytest.mark.parametrize("n", [2, 3, 10, 61, 130])
def test_the_sums_of_a_clip_of_any_length_make_its_offline_embedding(weights: Weights, n: int):
    frames, stride = frames_of(weights, n, seed=n), network_of(weights).stride
    layers = FrameLayers(weights)
    hops = [*layers.push(frames), *layers.flush()]
    assert len(hops) == math.ceil(n // stride * stride / 10)
    vectors, _ = Pooling(weights).embed(np.sum([hop.sums for hop in hops], axis=0)[None])
    whole = n // stride * stride
    want, _ = offline_voice(offline(weights), frames.mfcc[:whole], np.ones(whole, np.float32), stride)
    assert_same_voice(vectors[0], want, weights)


def test_the_weights_folder_gives_back_what_was_described(folder: Path):
    weights = load_weights_folder(folder)
    assert network_of(weights) == TINY
    assert weights.mfcc == MFCC
    assert weights.card == {"name": "tiny"}
    assert {file.name for file in folder.iterdir()} == {*FILES, "manifest.json"}
    np.testing.assert_array_equal(weights.mel, mel_filter_bank(MFCC))
