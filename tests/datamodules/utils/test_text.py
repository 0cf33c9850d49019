from __future__ import annotations

import pytest

from datamodules.utils.text import counted, listed, shortened

MANY = [f"class {number}" for number in range(1200)]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (list("abcdefgh"), "a, b, c, d, e, f, g, h"),
        (list("abcdefghi"), "a, b, c, d, e, f, … and 3 more"),
    ],
)
def test_a_few_are_all_listed(names, text):
    assert listed(names) == text


def test_many_are_counted_and_fit_on_a_line():
    assert counted(MANY).startswith("1,200 classes: class 0, class 1, ")
    assert counted(MANY).endswith(" and 1,194 more")
    assert len(counted([name * 50 for name in MANY])) < 300


def test_one_is_one():
    assert counted(["cats"]) == "1 class: cats"


@pytest.mark.parametrize("longest", range(1, 12))
def test_no_text_is_longer_than_it_may_be(longest):
    text = shortened("gray\n  cat", longest)
    assert len(text) <= longest
    assert text == ("gray cat" if longest >= 8 else text)
    assert ("…" in text) == (longest < 8)


def test_names_that_differ_at_their_ends_still_differ():
    names = [f"a rather long name of a class, number {number}" for number in range(100)]
    assert len({shortened(name, 16) for name in names}) == 100
