from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.conditioning.class_choice import chosen_classes
from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.pictures.captions import class_captions


@dataclass(frozen=True, eq=False)
class ClassCondition(Condition):
    """A class for each image.

    Args:
        labels: Class indices, (B,) int64; the number of classes stands for no class.
    """

    labels: Tensor


class ClassEmbedding(nn.Module):
    """A learned vector a class, and one for no class.

    Entries start at about 1, as the noise level's do. With the usual initialization of 0.02 the modulation
    layers see next to nothing of the label, and a short training is over before it has learned the classes.

    Args:
        classes: Number of classes.
        width: Size of the vectors.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.table.weight)

    def forward(self, condition: ClassCondition) -> Tensor:
        """Embed classes, (B,) -> (B, width)."""
        embedded: Tensor = self.table(condition.labels)
        return embedded


@dataclass(frozen=True)
class ClassLabels(Conditioner):
    """One class for each image.

    Args:
        names: Names of the classes in the order of their labels; one class is unconditional.
    """

    names: tuple[str, ...] = ("images",)

    @property
    def unconditional(self) -> bool:
        """Whether there is one class."""
        return len(self.names) == 1

    def embedding(self, width: int) -> ClassEmbedding | None:
        """Make a table of vectors."""
        return None if self.unconditional else ClassEmbedding(len(self.names), width)

    def read(self, given: Any) -> ClassCondition:  # noqa: ANN401
        """Take labels, (B,) int64 or a sequence of integers."""
        return ClassCondition(torch.as_tensor(given, dtype=torch.int64))

    def null(self, count: int, device: torch.device | str = "cpu") -> ClassCondition:
        """Return "no class" for each image."""
        return ClassCondition(torch.full((count,), len(self.names), device=device))

    def every(self) -> ClassCondition:
        """Return the classes in their order."""
        return ClassCondition(torch.arange(len(self.names)))

    def choose(self, text: str | None) -> ClassCondition:
        """Return the classes that a user names, as `class_choice.label_of` reads each.

        Raises:
            ValueError: If a class is unknown, with those there are.
        """
        return self.read(chosen_classes(text, self.names))

    def captions(self, condition: ClassCondition) -> list[str]:
        """Return the classes' names, as far as a font has them; nothing where there is one class."""
        return class_captions(self.names, condition.labels.tolist())

    def written(self, condition: ClassCondition) -> list[str | None]:
        """Return the classes' names, and None for no class."""
        return [self.names[i] if i < len(self.names) else None for i in condition.labels.tolist()]

    def facts(self) -> dict[str, Any]:
        """Return the classes' names, and the label that stands for none of them."""
        return {"class_names": list(self.names), "null_label": len(self.names)}
