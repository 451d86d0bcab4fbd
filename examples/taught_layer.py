"""What `learn_last_layers.py` and `train_on_gpu.py` do alike with a last layer: its margin, and what it comes to."""

import math

import torch
from torch import nn

from model.last_layer import LastLayer
from model.pretrain import halfway_geometry


def push_back(true: torch.Tensor, margin: float) -> torch.Tensor:
    """Cosines to the true class, pushed back by an angle in radians (Deng et al., 2019)."""
    true = true.clamp(-1 + 1e-6, 1 - 1e-6)
    pushed = true * math.cos(margin) - (1 - true.square()).sqrt() * math.sin(margin)
    # Beyond pi less the margin the cosine turns round.
    return torch.where(true > -math.cos(margin), pushed, true - margin * math.sin(margin))


@torch.no_grad()
def affine(
    kernel: torch.Tensor, norm: nn.BatchNorm1d, lesson: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> LastLayer:
    """A layer with all around it, turned half-way to its teachers' geometry: from moments to embeddings of any length.

    Args:
        kernel: (m, d) what comes after the moments are normalised.
        norm: what comes after it.
        lesson: (d, lesson) the layer that says what the teachers say.
        mean: (m,) what is taken from the moments.
        deviation: (m,) what they are divided by.
    """
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    turned = kernel.double() / deviation.double()[:, None] * factor
    bias = norm.bias.double() - norm.running_mean.double() * factor - mean.double() @ turned
    geometry = halfway_geometry(lesson.float().cpu().numpy())
    return turned.cpu().numpy() @ geometry, bias.cpu().numpy() @ geometry
