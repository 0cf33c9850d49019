"""What must still hold of argparse and jsonargparse after an upgrade, their English above all."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal

import pytest
from jsonargparse import ArgumentParser

from lightning_modules.cli.parsing import argparse_internals as plain
from lightning_modules.cli.parsing import jsonargparse_internals as typed


class RefusedError(Exception):
    """What a parser would have said."""


class PlainParser(argparse.ArgumentParser):
    def error(self, message):
        raise RefusedError(message)


class TypedParser(ArgumentParser):
    def error(self, message, ex=None):
        raise RefusedError(message)


@pytest.fixture
def parser() -> PlainParser:
    parser = PlainParser()
    parser.add_argument("run")
    parser.add_argument("-c", "--count", type=int)
    parser.add_argument("--sampler", choices=["euler", "heun"])
    parser.add_argument("--fresh", action="store_true")
    return parser


@dataclass
class Part:
    """A section.

    Args:
        size: A number.
        kind: One of two words.
        pair: Two numbers.
    """

    size: int = 1
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] = (0.0, 1.0)


class Base:
    """A base class."""


class One(Base):
    """A class.

    Args:
        width: A number.
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width


@pytest.fixture
def sections() -> TypedParser:
    parser = TypedParser(exit_on_error=True)
    parser.add_class_arguments(Part, "part")
    parser.add_subclass_arguments(Base, "thing")
    return parser


def said(parser, *args: str) -> str:
    with pytest.raises(RefusedError) as refused:
        parser.parse_args(list(args))
    return str(refused.value)


def test_a_parser_tells_its_options(parser):
    assert plain.option_strings(parser) == ["-h", "--help", "-c", "--count", "--sampler", "--fresh"]
    assert plain.positional_names(parser) == ["run"]
    assert isinstance(parser.add_argument_group("more"), plain.Group)


@pytest.mark.parametrize("value", ["-1e-8", "-.5", "-inf", "-3"])
def test_negative_numbers_are_values(parser, value):
    parser.add_argument("--level", type=float)
    plain.take_negative_numbers(parser)
    assert parser.parse_args(["x", "--level", value]).level == float(value)


def test_an_error_of_an_option(parser):
    name, what = plain.of_argument(said(parser, "x", "--count", "no"))
    assert name == "-c/--count"
    assert not plain.lacks_value(what)
    assert plain.lacks_value(plain.of_argument(said(parser, "x", "--count")).what)
    assert plain.takes_no_value(plain.of_argument(said(parser, "x", "--fresh=1")).what)


def test_an_error_of_a_choice(parser):
    name, what = plain.of_argument(said(parser, "x", "--sampler", "ruler"))
    assert name == "--sampler"
    assert plain.invalid_choice(what) == ("ruler", ["euler", "heun"])
    assert plain.invalid_choice("something else") is None


def test_what_a_parser_does_not_know_and_what_it_lacks(parser):
    assert plain.unknown_arguments(said(parser, "x", "--stpes", "3")) == ["--stpes", "3"]
    assert plain.missing_arguments(said(parser)) == ["run"]
    assert plain.unknown_arguments("something else") is None
    assert plain.missing_arguments("something else") is None
    assert plain.of_argument("something else") is None


def test_the_setting_that_an_error_is_about(sections):
    keys, rest = typed.of_keys(said(sections, "--part.size", "many"))
    assert keys[-1].endswith("size")
    assert typed.given_value(rest) == "many"
    assert typed.classes(rest) == ["int"]
    assert typed.literals(rest) == []
    assert typed.tuple_length(rest) is None
    assert typed.of_keys("something else") == ([], "something else")


def test_the_words_that_a_value_could_have_been(sections):
    rest = typed.of_keys(said(sections, "--part.kind", "c")).rest
    assert typed.literals(rest) == ["a", "b"]
    assert typed.given_value(rest) == "c"


def test_the_number_of_values(sections):
    rest = typed.of_keys(said(sections, "--part.pair", "[1, 2, 3]")).rest
    assert typed.tuple_length(rest) == 2


def test_the_classes_that_a_value_could_have_been(sections):
    rest = typed.of_keys(said(sections, "--thing", "Two")).rest
    assert typed.classes(rest)[0] == f"{__name__}.Base"
    assert typed.given_value(rest) == "Two"


def test_a_setting_that_there_is_not(sections):
    assert typed.unknown_key(said(sections, "--thing", "One", "--thing.width2", "1")).endswith("width2")
    assert plain.unknown_arguments(said(sections, "--part.other", "1")) is not None
    assert typed.unknown_key("something else") is None


def test_a_section_that_was_given_a_value(sections):
    assert typed.took_value_for_config(typed.of_keys(said(sections, "--part", "x.yaml")).rest)
    assert not typed.took_value_for_config("something else")
