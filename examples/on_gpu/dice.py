"""Random numbers on a device, drawn from one seed."""

import torch


class Dice:
    """Random numbers on a device."""

    def __init__(self, device: str, seed: int) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(seed)

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, device=self.device, generator=self.generator)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=self.device, generator=self.generator)

    def below(self, end: int | torch.Tensor, *shape: int) -> torch.Tensor:
        """Whole numbers from 0 up to `end`."""
        share = torch.rand(*shape, device=self.device, generator=self.generator, dtype=torch.float64)
        return (share * end).long()

    def choose(self, weights: torch.Tensor, n: int) -> torch.Tensor:
        return torch.multinomial(weights, n, replacement=True, generator=self.generator)

    def shuffled(self, n: int) -> torch.Tensor:
        return torch.randperm(n, device=self.device, generator=self.generator)
