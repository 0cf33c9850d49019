"""How large the model of a config is."""

from __future__ import annotations

import yaml

from lightning_modules.cli.parsing.parser import TeachingParser, resolve_config
from lightning_modules.module import DiffusionModule


def count_parameters(config: str, image_size: int) -> int:
    """Count the parameters that a config's model has for images of a size, its labels' few apart.

    Args:
        config: Name or path of a config of `ninelives fit`.
        image_size: Side of the images in pixels.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it has no model section.
    """
    path = resolve_config(config)
    section = yaml.safe_load(path.read_text()).get("model")
    if not section:
        raise ValueError(f"{path} names no model: give --parameters instead of --config")
    linked = {"image_size": image_size, "class_names": ["images"], "seed": 0}
    section["init_args"] = section.get("init_args", {}) | linked
    parser = TeachingParser()
    parser.add_lightning_class_args(DiffusionModule, "model", subclass_mode=True)
    model = parser.instantiate(parser.parse_object({"model": section})).model
    return sum(parameter.numel() for parameter in model.parameters())
