from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt

from lightning_modules.export.markdown import escaped, fenced, table

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a | b",
    "`code` **bold** _it_ ~~gone~~",
    "[link](javascript:alert(1)) ![x](y)",
    "https://example.org www.example.org a@example.org",
    "&lt;script&gt; &copy;",
    "# heading",
    "- item",
    "1. item",
    "---",
    "\\",
    "\\|",
    "two\nlines\r\n\n# and a heading",
    "\x1b[31m red \x00",
    "кот 猫 🐱",
    "\"quoted\" and 'single'",
    "</details>",
    "```",
    "$x$ ^up^",
]


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_shown_as_it_is_and_makes_nothing(text: str) -> None:
    for around, tags in (("* {}", "ul li"), ("before {} after", "p"), ("{}", "p")):
        page = rendered(around.format(escaped(text)))
        assert set(re.findall(r"</?(\w+)", page)) == set(tags.split()), page
        shown = html.unescape(re.sub(r"<[^>]+>", "", page)).strip()
        expected = "".join(c if c.isprintable() else "" for c in " ".join(text.split()))
        assert expected.replace(" ", "") in re.sub(r"\\x..|\s", "", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_is_one_cell(text: str) -> None:
    page = rendered(table(["a", "b"], [[text, 1], ["x", text]]))
    assert page.count("<td>") == 4
    assert set(re.findall(r"</?(\w+)", page)) == {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("text", ["https://example.org", "www.example.org", "a@example.org", "mailto:x"])
def test_addresses_do_not_become_links_on_a_forge(text: str) -> None:
    assert not re.search(r"(?<!\\)(://|@)|www\.|mailto:", escaped(text))


@pytest.mark.parametrize("text", ["dpmpp, 8 steps: 0.25 (of 3.5%), a-b", "step 1,400; EMA"])
def test_ordinary_text_is_not_changed(text: str) -> None:
    assert escaped(text) == text


@pytest.mark.parametrize("text", ["a: 1", "```\n# heading\n```", "`````"])
def test_a_block_holds_any_text(text: str) -> None:
    page = rendered(fenced(text, "yaml") + "\n\nafter")
    code = re.search(r'<pre><code class="language-yaml">(.*?)</code></pre>\n<p>after</p>', page, re.DOTALL)
    assert code is not None
    assert html.unescape(code[1]).strip() == text
