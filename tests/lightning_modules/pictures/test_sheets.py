from __future__ import annotations

import pytest
import torch
from PIL import features

from lightning_modules.pictures.captions import class_caption, fitted, writable
from lightning_modules.pictures.sheets import Sheet

pytestmark = pytest.mark.skipif(
    not features.check("freetype2"), reason="this Pillow draws text with a bitmap font only"
)


def images(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


LAYOUTS = [
    Sheet(3),
    Sheet(3, "title"),
    Sheet(3, "title", ["a", "b", "c"]),
    Sheet(2, "t" * 500, ["a name that is far too long for its column"] * 2, captions=["caption " * 50] * 5),
    Sheet(3, "title", ["a", "b", "c"], row_names=["a row", "a row with a name that is far too long"]),
    Sheet(4, "title", ["sample", "training image"] * 2, captions=["distance 0.10"] * 3, group=2),
]


@pytest.mark.parametrize("sheet", LAYOUTS, ids=str)
@pytest.mark.parametrize("size", [8, 32, 64, 200])
def test_no_word_covers_a_pixel_of_an_image(sheet, size):
    """Every image is there, each pixel as a square, whatever is written and however long it is."""
    shown = images(5, size)
    drawn = sheet.draw(shown)
    scale = sheet.scale(size)
    for number, image in enumerate(shown):
        x, y = sheet.place(number, (size, size))
        there = drawn[:, y : y + size * scale, x : x + size * scale]
        assert torch.equal(there, image.repeat_interleave(scale, 1).repeat_interleave(scale, 2))


@pytest.mark.parametrize("sheet", LAYOUTS, ids=str)
def test_a_margin_is_left_on_every_side(sheet):
    drawn = sheet.draw(images(5, 32))
    for edge in (drawn[:, :8], drawn[:, -8:], drawn[:, :, :8], drawn[:, :, -8:]):
        assert (edge == 255).all()


@pytest.mark.parametrize(
    ("columns", "size", "scale"), [(3, 32, 4), (8, 8, 16), (20, 32, 3), (35, 32, 1), (40, 256, 1)]
)
def test_images_are_enlarged_as_far_as_a_screen_shows_them(columns, size, scale):
    assert Sheet(columns).scale(size) == scale


def test_images_that_are_too_narrow_for_words_have_none():
    names = [f"class {number}" for number in range(40)]
    shown = images(40, 32)
    assert torch.equal(Sheet(40, captions=names).draw(shown), Sheet(40).draw(shown))
    assert torch.equal(Sheet(40, column_names=names).draw(shown), Sheet(40).draw(shown))


def test_words_are_written():
    plain, named = (Sheet(2, "title", names).draw(images(2, 32)) for names in (["", ""], ["a", "b"]))
    assert not torch.equal(plain, named)
    assert torch.equal(named, Sheet(2, "title", ["a", "b"]).draw(images(2, 32)))


@pytest.mark.parametrize("text", ["tabby", "Kätzchen", "кошка", "γάτα", "חתול"])
def test_scripts_that_the_installed_fonts_have_are_written_as_they_are(text):
    assert writable(text, 13)[0] == text
    assert class_caption(["x", text], 1) == text


def test_a_name_that_no_font_can_write_becomes_its_number(monkeypatch):
    monkeypatch.setattr("lightning_modules.pictures.captions.SYSTEM_FONTS", ())
    assert class_caption(["x", "\u732b"], 1) == "class 1"
    assert writable("cat \u732b", 13)[0] == "cat ?"


@pytest.mark.parametrize("width", [0, 5, 20, 60, 1000])
def test_a_text_fits_its_width(width):
    text, font = writable("a rather long name of a class", 13)
    shown = fitted(text, font, width)
    assert shown == text or "…" in shown
    assert font.getlength(shown) <= max(width, font.getlength("…"))
