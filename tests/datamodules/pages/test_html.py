"""Pages are whole, alone and safe, with whatever text."""

from __future__ import annotations

import re

from PIL import Image

from datamodules.pages import html
from tests.helpers.html_page import HtmlPage
from tests.helpers.places import REPOSITORY

STYLE = (REPOSITORY / "datamodules" / "pages" / "style.css").read_text(encoding="utf-8")
HOSTILE = "<img src=x onerror=alert(1)>\"'&\n\x1b[31m\udce9"


def everything(words: str) -> HtmlPage:
    image = html.data_uri(Image.new("RGB", (4, 4)))
    parts = [
        html.section(words, html.bars({words: 3, "b": 0})),
        html.section("empty", ""),
        "",
        html.figures([(words, words)]),
        html.finding("look", words, words, words),
        html.table([(words, "2")], (words, words)),
        html.picture(image, words, "sheet"),
    ]
    return HtmlPage(html.page(words, parts))


def test_hostile_text_stays_text() -> None:
    page = everything(HOSTILE)
    page.assert_alone()
    assert page.elements.count("img") == 1
    assert "script" not in page.elements
    shown = "<img src=x onerror=alert(1)>\"'&\\n\\x1b[31m\\udce9"
    assert page.text.count(shown) == 11
    assert page.pictures == [shown]


def test_what_is_empty_is_left_out() -> None:
    assert html.section("a title", "") == html.bars({}) == html.table([]) == ""
    assert "empty" not in everything("words").text


def test_bars_are_as_long_as_their_counts() -> None:
    assert re.findall(r"width:([\d.]+)%", html.bars({"a": 8, "b": 2, "c": 0})) == ["100.0", "25.0", "0.0"]


def test_the_style_sheet_loads_nothing_and_knows_the_dark() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "</" not in STYLE
    light, dark = (set(re.findall(r"(--[\w-]+):", part)) for part in STYLE.split("@media", 2)[:2])
    assert light - dark == {"--radius", "--mono"}
    assert set(re.findall(r"var\((--[\w-]+)\)", STYLE)) <= light
    assert STYLE in html.page("", [])


def contrast(one: str, other: str) -> float:
    """The contrast of two colors as WCAG 2.2 defines it."""

    def luminance(color: str) -> float:
        digits = color.lstrip("#")
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_on_every_ground() -> None:
    for theme in STYLE.split("@media", 2)[:2]:
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", theme))
        for ink in ("ink", "soft", "accent", "good", "look", "problem"):
            for ground in ("paper", "card"):
                assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
        assert contrast(colors["on-accent"], colors["accent"]) >= 4.5
