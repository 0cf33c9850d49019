"""The words of the code and its documents: the field's terms, American spelling, nothing archaic."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.helpers.places import REPOSITORY

BANNED = {
    "archaic": r"beside(?! the point)|whatever|whichever|otherwise|lest|shall|anew|astray|spoil(?:t|s|ed)?",
    "a negation that reads like a value": r"is none|are none|none is|for what is",
    "a private name": r"ordeals?|witness(?:es)?|held_out|hidden_ratio|label_dropout|drawn cats",
    "not the field's term": r"laws?",
    "British, by its ending": r"\w+(?:[bmnrlt]|al|[^i]t)is(?:e|ed|es|er|ing|ation)",
    "British": r"colou?r(?<!color)\w*|grey|centre[ds]?|learnt|behaviour|neighbours?|licence|catalogue"
    r"|favour|labell(?:ed|ing)|cancelled|metres?",
}
"""Words by what is wrong with them."""

ALLOWED = re.compile(
    r"(?i)(?:com)?promis(?:e[ds]?|ing)|precise|_?iris(es)?|expertise|enterprise|premises?|r(?:a|)is(?:es?|ing)"
)
SOURCES = ("lightning_modules", "datamodules", "scripts", "configs", "docs", "benchmarks")
FILES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "modal_entry.py", "Makefile", "pyproject.toml")
SUFFIXES = {".py", ".md", ".yaml", ".toml", ""}


def lines() -> Iterator[tuple[str, str]]:
    """Lines of the sources and documents, with their place. Names of other libraries are not ours."""
    paths = [path for folder in SOURCES for path in (REPOSITORY / folder).rglob("*")]
    for path in sorted([*paths, *(REPOSITORY / name for name in FILES)]):
        if path.is_file() and path.suffix in SUFFIXES:
            text = re.sub(r"\bis None\b", "", path.read_text(encoding="utf-8"))
            for number, line in enumerate(text.splitlines(), 1):
                yield f"{path.relative_to(REPOSITORY)}:{number}", line


@pytest.mark.parametrize("kind", BANNED)
def test_a_banned_word_is_nowhere(kind: str) -> None:
    pattern = re.compile(rf"(?i)\b(?:{BANNED[kind]})\b")
    found = [
        f"{place}: {match[0]}"
        for place, line in lines()
        for match in pattern.finditer(line)
        if not ALLOWED.fullmatch(match[0])
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["beside it", "There is none.", "the Witness", "the law", "normalise", "optimiser", "Colours", "grey"],
)
def test_banned_words_are_seen(text: str) -> None:
    assert any(re.search(rf"(?i)\b(?:{words})\b", text) for words in BANNED.values())


@pytest.mark.parametrize(
    "text", ["beside the point", "noise", "precise", "color", "colors", "raised", "promise"]
)
def test_other_words_are_not(text: str) -> None:
    found = [m[0] for words in BANNED.values() for m in re.finditer(rf"(?i)\b(?:{words})\b", text)]
    assert all(ALLOWED.fullmatch(each) for each in found)
