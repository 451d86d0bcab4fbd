"""Last layers joined: the cosines of all of them side by side, in one matrix."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.last_layer import LastLayer, join_layers

RNG = np.random.default_rng(0)
MOMENTS = RNG.normal(size=(300, 40))  # of more speech than there are directions


def layer(size: int, scale: float = 1.0) -> LastLayer:
    return scale * RNG.normal(size=(40, size)), scale * RNG.normal(size=size)


ONE, OTHER = layer(8), layer(12, scale=50.0)


def values(of: LastLayer, moments: NDArray[np.floating]) -> NDArray[np.floating]:
    return moments @ of[0] + of[1]


def cosines(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def side_by_side(weights: tuple[float, float], moments: NDArray[np.floating]) -> NDArray[np.floating]:
    """The slow way: every layer's values at a root mean square length of the root of its weight."""
    parts = []
    for of, weight in zip((ONE, OTHER), weights, strict=True):
        length = np.sqrt(np.mean(np.linalg.norm(values(of, MOMENTS), axis=1) ** 2))
        parts.append(np.sqrt(weight) * values(of, moments) / length)
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 1.0), (0.5, 4.0)])
def test_with_all_directions_the_cosines_are_those_of_the_layers_side_by_side(weights: tuple[float, float]) -> None:
    unheard = RNG.normal(size=(50, 40))
    joined = join_layers([ONE, OTHER], weights, MOMENTS, 20)
    np.testing.assert_allclose(cosines(values(joined, unheard)), cosines(side_by_side(weights, unheard)), atol=1e-9)


def test_a_layer_joined_with_itself_says_the_same() -> None:
    joined = join_layers([ONE, ONE], [3.0, 1.0], MOMENTS, 8)
    np.testing.assert_allclose(cosines(values(joined, MOMENTS)), cosines(values(ONE, MOMENTS)), atol=1e-9)


def test_only_the_ratio_of_the_weights_counts_and_no_layers_scale() -> None:
    joined = join_layers([ONE, OTHER], [1.0, 3.0], MOMENTS, 10)
    louder = join_layers([(1e3 * ONE[0], 1e3 * ONE[1]), OTHER], [10.0, 30.0], MOMENTS, 10)
    np.testing.assert_allclose(cosines(values(joined, MOMENTS)), cosines(values(louder, MOMENTS)), atol=1e-9)


def test_joining_a_joined_pair_by_its_weight_is_joining_all_three() -> None:
    third = layer(6)
    pair = join_layers([ONE, OTHER], [1.0, 1.0], MOMENTS, 20)
    np.testing.assert_allclose(
        cosines(values(join_layers([pair, third], [2.0, 1.0], MOMENTS, 26), MOMENTS)),
        cosines(values(join_layers([ONE, OTHER, third], [1.0, 1.0, 1.0], MOMENTS, 26), MOMENTS)),
        atol=1e-9,
    )


def test_what_is_left_out_are_the_directions_that_tell_least() -> None:
    beside = side_by_side((0.5, 0.5), MOMENTS)
    length = np.linalg.norm(beside, axis=1, keepdims=True)
    # No n directions hold more of the unit vectors than those of the singular value decomposition (Eckart and Young).
    best = np.cumsum(np.linalg.svd(beside / length, compute_uv=False) ** 2)
    for size in (4, 10, 20):
        kept = values(join_layers([ONE, OTHER], [1.0, 1.0], MOMENTS, size), MOMENTS) / length
        assert np.sum(kept**2) == pytest.approx(best[size - 1])
