from __future__ import annotations

import pkgutil

import pytest

from datamodules.sources.source import DataSource
from datamodules.sources.table import SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_made_of_nothing_and_does_nothing_until_it_is_asked(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = pkgutil.resolve_name(SOURCES[name])()
    assert isinstance(made, DataSource)
    assert type(made).__doc__
    assert list(tmp_path.iterdir()) == []
