"""A page as a strict reader sees it: every element is closed, every picture has words, nothing is loaded."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"br", "hr", "img", "input", "link", "meta"}


class HtmlPage(HTMLParser):
    """Parse a page and collect what the tests ask about.

    Attributes:
        loads: All that it would load or link to.
        elements: Names of its elements, in their order.
        pictures: The words of each `img` and each `svg`, empty for those that say nothing; None if they lack.
        text: Its text outside of style and script.
        ids: Names that links within the page and labels refer to.
        wanted: Names that are referred to.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.elements: list[str] = []
        self.pictures: list[str | None] = []
        self.text = ""
        self.ids: set[str] = set()
        self.wanted: set[str] = set()
        self._open: list[str] = []
        assert page.startswith("<!doctype html>")
        self.feed(page)
        self.close()
        assert not self._open, f"{self._open} are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert len(values) == len(attrs), f"an attribute of <{tag}> is there twice"
        assert not [name for name in values if name.startswith("on")], f"<{tag}> runs a script"
        self.elements.append(tag)
        if tag not in _VOID:
            self._open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster")]
        if tag in ("img", "svg"):
            said = "" if values.get("aria-hidden") == "true" else values.get("aria-label")
            self.pictures.append(values.get("alt") if tag == "img" else said)
        if name := values.get("id"):
            assert name not in self.ids, f"two elements have the id {name}"
            self.ids.add(name)
        if name := values.get("for"):
            self.wanted.add(name)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data

    def assert_alone(self) -> None:
        """Check that it needs nothing but itself, and can be read by those who see no pictures."""
        assert all(each.startswith(("data:image/", "#")) for each in self.loads), self.loads
        assert None not in self.pictures
        assert "link" not in self.elements
        assert self.wanted <= self.ids
