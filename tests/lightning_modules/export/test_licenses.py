from __future__ import annotations

import pytest

from lightning_modules.export.licenses import HUB_LICENSES, Licenses, license_identifier


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("CC-BY-SA-4.0", {"license": "cc-by-sa-4.0"}),
        ("mit", {"license": "mit"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("LicenseRef-Ours", {"license": "other", "license_name": "LicenseRef-Ours"}),
        ("other", {"license": "other"}),
        (None, {"license": "other", "license_name": "not-stated"}),
    ],
)
def test_the_front_matter_says_what_was_given_and_nothing_of_the_data(
    given: str | None, told: dict[str, str]
) -> None:
    assert Licenses("CC0-1.0", given).front_matter() == told


def test_the_hub_s_names_are_spelled_as_it_does() -> None:
    assert all(name == name.lower() for name in HUB_LICENSES)
    assert {"mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0"} <= HUB_LICENSES


@pytest.mark.parametrize("text", ["", " ", "my own pictures", "a\nb", "-x", "x: y", "<b>", "x" * 65])
def test_what_is_no_short_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"CC-BY-4\.0.*other"):
        license_identifier(text)


@pytest.mark.parametrize("text", ["CC-BY-4.0", "other", "GPL-2.0+", "LicenseRef-x.y"])
def test_short_names_are_taken(text: str) -> None:
    assert license_identifier(text) == text
