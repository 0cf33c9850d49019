from __future__ import annotations

import re

import pytest

from lightning_modules.conditioning.class_choice import chosen_classes, listed, spelled

NASTY = (
    *(
        "none",
        "None",
        "null",
        "all",
        "latest",
        "yes",
        "no",
        "true",
        "~",
        "1",
        "2",
        "10",
        "1.0",
        "-1",
        "1e5",
        "inf",
    ),
    *(
        "a",
        "b",
        "a,b",
        "a, b",
        ",",
        " ",
        " a",
        "a ",
        "\ta",
        'a"b',
        '"',
        '"a"',
        '""',
        "'a'",
        "#1",
        "*",
        "ema=0.1",
    ),
    *("--help", "=", "é", "猫", "²", "a\nb", "a\x1b[31mb", "@eaDir", "[a, b]", "{a: b}", "c:\\d"),
)
"""Names that a folder can have and that mean something else elsewhere."""


@pytest.mark.parametrize("name", NASTY)
def test_every_name_that_a_folder_can_have_is_reachable(name):
    assert chosen_classes(spelled(name), NASTY) == [NASTY.index(name)]


def test_all_of_them_at_once():
    assert chosen_classes(",".join(map(spelled, NASTY)), NASTY) == list(range(len(NASTY)))
    assert chosen_classes(" , ".join(map(spelled, NASTY)), NASTY) == list(range(len(NASTY)))


@pytest.mark.parametrize("name", NASTY)
def test_a_name_goes_before_any_other_meaning(name):
    assert chosen_classes(spelled(name), ("a class", name)) == [1]


@pytest.mark.parametrize("names", [NASTY, ("a", "b"), ("0", "1"), ("none", "/x")])
def test_place_and_null_label_can_always_be_written(names):
    assert chosen_classes("/none,/0,/1", names) == [len(names), 0, 1]


def test_short_forms_where_no_class_has_such_a_name():
    assert chosen_classes("none, 1,a", ("a", "b")) == [2, 1, 0]


@pytest.mark.parametrize("names", [("1", "2", "10"), ("x", "-1"), ("1.5", "2.5")])
def test_a_number_that_is_no_name_is_refused_where_names_are_numbers(names):
    with pytest.raises(ValueError, match="/0"):
        chosen_classes("0", names)


@pytest.mark.parametrize("text", ['"none"', '"0"', "/2", "/-1", "-1", "2", "", "a,", ",a", "/", "²", "NONE"])
def test_what_is_no_class_is_refused(text):
    with pytest.raises(ValueError, match=": a, b"):
        chosen_classes(text, ("a", "b"))


@pytest.mark.parametrize("text", ['"a', '"a" b', '"a"b,a', '"'])
def test_quotes_that_do_not_close_are_refused(text):
    with pytest.raises(ValueError, match="--labels"):
        chosen_classes(text, ("a", "b"))


@pytest.mark.parametrize("name", ["a, b", 'c"', '"d"', " e"])
def test_a_name_that_needs_quotes_says_how(name):
    if spelled(name) == name:
        assert chosen_classes(name, (name,)) == [0]
        return
    with pytest.raises(ValueError, match=re.escape(spelled(name))):
        chosen_classes(name, ("x", name))


def test_all_classes_are_chosen_unless_some_are():
    assert chosen_classes(None, ["a", "b"]) == [0, 1]
    assert chosen_classes("b,none", ["a", "b"]) == [1, 2]


def test_of_many_classes_a_few_are_named_and_the_nearest():
    names = [f"breed {number:04d}" for number in range(1200)] + ["tabby"]
    with pytest.raises(ValueError, match=r"'Tabbi'.* tabby\?") as error:
        chosen_classes("Tabbi", names)
    assert ": breed 0000" in str(error.value)
    assert len(str(error.value)) < 250


def test_a_list_is_one_line_whatever_the_names():
    assert "\x1b" not in listed(NASTY)
    assert "\n" not in listed(("a\nb",))
