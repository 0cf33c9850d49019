"""Names of licenses: what is asked for, and how the Hugging Face Hub's list spells it."""

from __future__ import annotations

import re
from typing import NamedTuple

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")

# fmt: off
HUB_LICENSES = frozenset((
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigscience-openrail-m", "bsd-2-clause",
    "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m",
    "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1",
    "lgpl-3.0", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "openrail", "osl-3.0", "pddl",
    "postgresql", "unlicense", "wtfpl", "zlib",
))
# fmt: on
"""What the Hub knows of them, in its spelling; another one is `other` there, with a name."""

_HUB_SPELLINGS = {"odbl-1.0": "odbl", "odc-by-1.0": "odc-by", "pddl-1.0": "pddl"}
_VERSION_TAIL = re.compile(r"-(?:only|or-later)$")


class Licenses(NamedTuple):
    """What somebody says of a model that is published; never guessed."""

    data: str
    """License of the images that it was trained on, an SPDX identifier, or another short name."""

    weights: str | None
    """License that the weights are given under; None: not stated."""

    def front_matter(self) -> dict[str, str]:
        """Return what the card's front matter says of the weights' license."""
        if self.weights is None:
            return {"license": "other", "license_name": "not-stated"}
        low = _VERSION_TAIL.sub("", self.weights.lower())
        spelled = _HUB_SPELLINGS.get(low, low)
        if spelled in HUB_LICENSES:
            return {"license": spelled}
        return {"license": "other"} | ({} if low == "other" else {"license_name": self.weights})


def license_identifier(text: str) -> str:
    """Check that a text is the short name of a license.

    Raises:
        ValueError: If it is not, with what one looks like.
    """
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(
            f"must be the short name of a license, such as CC-BY-4.0 (SPDX's names) or other, not {text!r}"
        )
    return text
