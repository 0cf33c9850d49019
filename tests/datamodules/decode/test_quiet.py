from __future__ import annotations

import threading
import warnings

import pytest

from datamodules.decode.quiet import no_warnings


def test_filters_are_restored_after_blocks_that_overlap() -> None:
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with no_warnings():
            first_in.set()
            assert second_in.wait(60)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(60)
    with no_warnings():
        second_in.set()
        assert first_out.wait(60)
        warnings.warn("still silent", UserWarning, stacklevel=1)
    thread.join()
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)


def test_filters_are_restored_after_an_error() -> None:
    before = list(warnings.filters)
    with pytest.raises(KeyError), no_warnings():
        raise KeyError
    assert list(warnings.filters) == before
