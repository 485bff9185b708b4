"""The tests, and how one is run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from box import Box
from browsing import Browsers

Test = Callable[[Box, Browsers], str | None]


@dataclass(frozen=True)
class Named:
    """A test with what it shows."""

    name: str
    run: Test


TESTS: list[Named] = []


def test(run: Test) -> Test:
    """Makes a function a test. Its first line of documentation says what must hold; it may return figures."""
    assert run.__doc__, f"{run.__name__} says nothing"
    TESTS.append(Named(run.__name__, run))
    return run


def play(box: Box, browsers: Browsers, only: list[str]) -> tuple[int, int]:
    """Runs the tests whose names hold one of these words, or all: how many passed, and how many failed."""
    chosen = [one for one in TESTS if not only or any(word in one.name for word in only)]
    passed = failed = 0
    for one in chosen:
        begin = time.monotonic()
        try:
            figures = one.run(box, browsers)
        except Exception:  # noqa: BLE001 - a test may fail in any way, and the others go on
            failed += 1
            print(f"FAILED  {one.name}: {one.run.__doc__}\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            took = time.monotonic() - begin
            print(f"ok      {one.name} ({took:.1f} s){f': {figures}' if figures else ''}", flush=True)
    return passed, failed
