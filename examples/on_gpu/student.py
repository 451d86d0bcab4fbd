"""The network while it learns on a GPU: its frame layers, two last layers, and what they are taught with."""

import math

import keras
import numpy as np
import torch
from ask_teacher import unit
from numpy.typing import NDArray
from on_gpu.batches import Batch, Batches
from on_gpu.dice import Dice
from taught_layer import affine, push_back
from torch import nn
from torch.nn import functional

from model.last_layer import LastLayer, join_layers
from model.network import NetworkConfig, StepNorm, build_encoder, fused_weights
from model.weights import Weights

CROP_FRAMES = (80, 120, 200, 300)  # by turns
SCALE, TEACHER_WEIGHT, VOICE_WEIGHT = 30.0, 20.0, 0.5
RATES = (2e-3, 3e-3)  # peaks, of the frame layers and of the heads
LOSSES = ("speech", "first_voices", "first_lessons", "second_voices", "second_lessons")  # of the two heads


class Head(nn.Module):
    """A last layer and what it is taught with: classes for the voices, and a layer that says what the teachers say.

    Args:
        sizes: of what comes in, of an embedding, of a lesson.
        classes: how many voices there are.
        centres: of each of them.
        margin: in radians, that the true class is pushed back by.
        dropout: of what comes in.
        weight: of its loss, beside the other head's.
        dice: draws the kernels.
        kernel: to begin with.
    """

    def __init__(
        self,
        sizes: tuple[int, int, int],
        classes: int,
        *,
        centres: int,
        margin: float,
        dropout: float,
        weight: float,
        dice: Dice,
        kernel: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        pooled, embedding, lesson = sizes
        self.margin, self.weight, self._dropout = margin, weight, dropout
        self.kernel = nn.Parameter(dice.normal(pooled, embedding) * pooled**-0.5 if kernel is None else kernel)
        self.norm = nn.BatchNorm1d(embedding, eps=1e-3, momentum=0.01, device=dice.device)
        self.lesson = nn.Parameter(dice.normal(embedding, lesson) * embedding**-0.5)
        self.classes = nn.Parameter(dice.normal(centres, classes, embedding) * embedding**-0.5)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """(n, pooled), normalised -> (n, embedding), unit length."""
        return unit(self.norm(functional.dropout(pooled, self._dropout, self.training) @ self.kernel))

    def losses(
        self, embedding: torch.Tensor, label: torch.Tensor, rival: torch.Tensor, lesson: torch.Tensor, margin: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the voices, and distance to the teachers.

        Args:
            embedding: (n, d).
            label: (n,) the voice, or -1 for one without a name.
            rival: (n, classes) who competes with it.
            lesson: (n, m).
            margin: in radians.
        """
        centres = unit(self.classes)
        low = embedding.device.type == "cuda" and len(centres) > 1
        near, far = (x.bfloat16() if low else x for x in (embedding, centres))
        cosine = torch.einsum("nd,kcd->knc", near, far).float().amax(0)  # of the nearest of its centres
        pushed = push_back(cosine.gather(1, label.clamp_min(0)[:, None]), margin)
        logits = SCALE * cosine.masked_fill(~rival, -400.0).scatter(1, label.clamp_min(0)[:, None], pushed)
        surprise = functional.cross_entropy(logits, label.clamp_min(0), reduction="none")
        distance = 1 - (unit(embedding @ self.lesson) * lesson).sum(1)
        return (surprise * (label >= 0)).mean(), distance.mean()


def unfuse(encoder: keras.Model, fused: dict[str, NDArray[np.floating]], batch: Batch) -> None:
    """Give a network with normalisations the frame layers of a fused one.

    Each normalisation takes its moments from the batch, and undoes them: what comes out is what the fused layer gives.
    """
    for layer in encoder.layers:
        if layer.name == "mfcc_norm":
            layer.set_weights([fused["mfcc_norm/mean"], fused["mfcc_norm/variance"]])
        elif layer.name in ("gate", "voiced"):
            layer.set_weights([fused[f"{layer.name}/{part}"].astype(np.float32) for part in ("kernel", "bias")])
        elif layer.name.endswith("_conv"):
            layer.set_weights([fused[f"{layer.name}/kernel"].astype(np.float32)])
    inputs = {"mfcc": batch.mfcc, "share": batch.share}
    for norm in (layer for layer in encoder.layers if isinstance(layer, StepNorm)):
        bias = fused[norm.name.removesuffix("_norm") + "_conv/bias"].astype(np.float32)
        with torch.no_grad():
            x = keras.Model(encoder.input, norm.input)(inputs, training=False).float()
            mean, variance = x.mean((0, 1)), x.var((0, 1), unbiased=False)
        moments = [(variance + norm.epsilon).sqrt(), mean + torch.from_numpy(bias).to(mean.device), mean, variance]
        norm.set_weights([each.cpu().numpy() for each in moments])
    norm = encoder.get_layer("segment_in_norm")
    with torch.no_grad():
        pooled = keras.Model(encoder.input, norm.input)(inputs, training=False).float()[: batch.spoken]
    norm.set_weights([pooled.mean(0).cpu().numpy(), pooled.var(0).cpu().numpy()])


class Student:
    """The network while it learns."""

    def __init__(self, weights: Weights, batches: Batches, frames: int, dice: Dice) -> None:
        self._batches, self._frames, self.device, self.steps = batches, frames, dice.device, 0
        self.config = NetworkConfig(**{**weights.network, "dilations": tuple(weights.network["dilations"])})
        keras.config.set_dtype_policy("mixed_bfloat16" if dice.device == "cuda" else "float32")
        self.encoder = build_encoder(self.config, fused=False)
        keras.config.set_dtype_policy("float32")
        with np.load(weights.folder / "network.npz", allow_pickle=False) as arrays:
            fused = dict(arrays)
        unfuse(self.encoder, fused, batches.draw(120, min(1_024, frames // 120)))
        self._norm = self.encoder.get_layer("segment_in_norm")
        outputs = {"pooled": self._norm.input, "normal": self._norm.output, "voiced": self.encoder.output["voiced"]}
        self._body = keras.Model(self.encoder.input, outputs)
        speakers, variants = batches.speakers, batches.bank.variants
        self.classes = speakers.named * len(variants)
        deviation = (self._norm.moving_variance.value + self._norm.epsilon).sqrt()
        begin = deviation[:, None] * torch.from_numpy(weights.dense[0]).to(dice.device)
        sizes = (2 * self.config.pooled, self.config.embedding, batches.lessons.size)
        self._heads = nn.ModuleList(
            [
                Head(sizes, self.classes, centres=2, margin=0.3, dropout=0.0, weight=1.0, dice=dice, kernel=begin),
                Head(sizes, self.classes, centres=1, margin=0.2, dropout=0.15, weight=0.6, dice=dice),
            ]
        )
        number = torch.arange(self.classes, device=dice.device)
        self._speaker, self._variant = number // len(variants), number % len(variants)
        self._near = torch.tensor([[one.near(other) for other in variants] for one in variants], device=dice.device)
        learned = [weight for weight in self._body.parameters() if weight.requires_grad]
        groups = [
            {"params": params, "peak": peak}
            for params, peak in zip((learned, [*self._heads.parameters()]), RATES, strict=True)
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=1e-5, weight_decay=1e-4, fused=dice.device == "cuda")
        cohort = batches.draw(300, min(1_600, frames // 100))
        speech = torch.nonzero(cohort.share[: cohort.spoken].mean(1) > 0.5)[:800, 0]
        self._cohort = cohort.mfcc[speech], cohort.share[speech]

    def step(self, progress: float) -> torch.Tensor:
        """Learn from one batch.

        Args:
            progress: of the training, in [0, 1].

        Returns:
            The losses; see `LOSSES`.
        """
        frames = CROP_FRAMES[self.steps % len(CROP_FRAMES)]
        with torch.no_grad():
            batch = self._batches.draw(frames, self._frames // frames)
        found = self._body({"mfcc": batch.mfcc, "share": batch.share}, training=True)
        speech = batch.share.view(len(batch.share), -1, self.config.stride).mean(-1, keepdim=True)
        voiced = found["voiced"].float().clamp(1e-5, 1 - 1e-5)
        parts = [functional.binary_cross_entropy(voiced, speech)]
        total, normal = parts[0], found["normal"].float()[: batch.spoken]
        label, rival = self._rivals(batch)
        for head in self._heads:
            margin = head.margin * min(1.0, 4 * progress)
            voices, lessons = head.losses(head(normal), label, rival, batch.lesson, margin)
            total = total + VOICE_WEIGHT * head.weight * (voices + TEACHER_WEIGHT * lessons)
            parts += [voices, lessons]
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_([p for group in self._optimizer.param_groups for p in group["params"]], 5.0)
        share = min(1.0, progress / 0.04) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * share
        self._optimizer.step()
        self.steps += 1
        return torch.stack(parts).detach()

    def _rivals(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        # The label of each crop, and the classes that compete with it: of its group, and no near voice of its speaker.
        named, n_variants = batch.speaker < self._batches.speakers.named, len(self._near)
        label = torch.where(named, batch.speaker * n_variants + batch.variant, -1)
        group = self._batches.speakers.group
        same_group = group[self._speaker][None] == group[batch.speaker.clamp_max(len(group) - 1)][:, None]
        same_speaker = self._speaker[None] == batch.speaker[:, None]
        rival = same_group & ~(same_speaker & self._near[batch.variant][:, self._variant])
        return label, rival.scatter(1, label.clamp_min(0)[:, None], True)

    def pooled(self, mfcc: torch.Tensor, share: torch.Tensor | None = None) -> torch.Tensor:
        """(n, 2 * pooled) means and deviations, weighted by what is given, or by what the network takes for speech."""
        found = []
        with torch.no_grad():
            for rows, given in zip(mfcc.split(256), (mfcc[..., 0] if share is None else share).split(256), strict=True):
                if share is None:
                    every = torch.ones_like(given)
                    voiced = self._body({"mfcc": rows, "share": every}, training=False)["voiced"].float()
                    given = voiced[..., 0].repeat_interleave(self.config.stride, 1)
                found.append(self._body({"mfcc": rows, "share": given}, training=False)["pooled"].float())
        return torch.cat(found).double()

    def last_layer(self) -> LastLayer:
        """Both heads in one."""
        mean = self._norm.moving_mean.value.double()
        deviation = (self._norm.moving_variance.value.double() + self._norm.epsilon).sqrt()
        layers = [affine(head.kernel, head.norm, head.lesson, mean, deviation) for head in self._heads]
        return join_layers(layers, [1.0] * len(layers), self.pooled(*self._cohort).cpu().numpy(), self.config.embedding)

    def fused(self) -> dict[str, NDArray[np.floating]]:
        """The network as it is shipped, with both heads in one."""
        kernel, bias = self.last_layer()
        return fused_weights(self.encoder) | {
            "segment_dense/kernel": kernel.astype(np.float16),
            "segment_dense/bias": bias.astype(np.float16),
        }
