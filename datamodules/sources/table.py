"""The data sources that are known by a short name, which can be read without importing them."""

from __future__ import annotations

SOURCES: dict[str, str] = {
    "RenderedCats": "datamodules.sources.rendered_cats:RenderedCats",
    "OxfordPetCats": "datamodules.sources.oxford_pets:OxfordPetCats",
}
"""Name of the class, and where it is: `module:name`."""
