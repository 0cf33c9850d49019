"""`plans/LOG.md`: a title asks a question and answers it; what we know links to the entries."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

LOG = Path(__file__).resolve().parents[1] / "plans" / "LOG.md"
FRONT_MATTER = ["What we know", "How to read it"]
HEADING = re.compile(r'(?:<a id="(?P<anchor>[a-z0-9-]+)"></a>\n\n)?^## (?P<title>.+)$', re.MULTILINE)
TITLE = re.compile(r"[^?]+\? [^?]{2,} \((?P<date>\d{4}-\d\d-\d\d)\)")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


def entries() -> dict[str, str]:
    """Titles of the entries by anchor, in the order of the file."""
    found = [match for match in HEADING.finditer(LOG.read_text()) if match["title"] not in FRONT_MATTER]
    assert all(match["anchor"] for match in found)
    return {match["anchor"]: match["title"] for match in found}


def test_the_log_begins_with_what_we_know() -> None:
    titles = [match["title"] for match in HEADING.finditer(LOG.read_text())]
    assert titles[:2] == FRONT_MATTER


def test_every_title_has_a_question_a_verdict_and_a_date() -> None:
    bad = [title for title in entries().values() if not TITLE.fullmatch(title)]
    assert not bad


def test_the_newest_entry_comes_first() -> None:
    matches = [TITLE.fullmatch(title) for title in entries().values()]
    dates = [datetime.date.fromisoformat(match["date"]) for match in matches if match]
    assert dates
    assert dates == sorted(dates, reverse=True)


def test_anchors_are_unique() -> None:
    anchors = re.findall(r'<a id="([^"]+)">', LOG.read_text())
    assert anchors == list(entries())


def test_each_finding_has_a_figure_and_links_to_an_entry() -> None:
    known = LOG.read_text().partition("## What we know\n")[2].partition("\n## ")[0].strip().splitlines()
    assert 10 <= len(known) <= 20
    for line in known:
        targets = LINK.findall(line)
        assert targets, line
        assert {target.removeprefix("#") for target in targets} <= entries().keys(), line
        assert re.search(r"\d", LINK.sub("", line)), line


def test_every_link_leads_somewhere() -> None:
    for target in LINK.findall(LOG.read_text()):
        if target.startswith("#"):
            assert target[1:] in entries(), target
        elif not target.startswith("http"):
            assert (LOG.parent / target).exists(), target
