#!/usr/bin/env python3
"""Pays in a real browser: starts a sandbox, plays every test, stops it.

    run.py [WORD…]                   the tests whose names hold one of the words, or all
    run.py --box FOLDER [WORD…]      in a sandbox that runs already
    run.py --screenshots FOLDER      takes the README's pictures instead

The browser is $CHROMIUM or `chromium` on the PATH. Exit status 0 only where every test passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The compiled files would lie in the source tree.
sys.dont_write_bytecode = True

from box import Box  # noqa: E402
from browsing import Browsers, launch, program  # noqa: E402


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description="Pays in a real browser.")
    parser.add_argument("words", nargs="*", help="only the tests whose names hold one of these")
    parser.add_argument("--box", type=Path, help="the folder of a sandbox that runs already")
    parser.add_argument("--screenshots", type=Path, help="take the README's pictures into this folder")
    wishes = parser.parse_args()
    if program() is None:
        print("browser: there is no Chromium; .ci/install installs it, or name one in $CHROMIUM", file=sys.stderr)
        # Whoever has none isn't kept from the rest; the gate is.
        return 1 if os.environ.get("CI") == "true" else 0
    # Imported here, so that the message above comes even where Python's packages are missing, too.
    from playwright.sync_api import sync_playwright

    with sandbox(wishes.box) as box, sync_playwright() as playwright:
        browsers = Browsers(launch(playwright), box)
        if wishes.screenshots:
            import screenshots

            screenshots.take(box, browsers, wishes.screenshots)
            return 0
        return tests(box, browsers, wishes.words)


def tests(box: Box, browsers: Browsers, words: list[str]) -> int:
    """Plays the tests; the exit status."""
    import ending  # noqa: F401 - importing a module brings its tests in
    import guarding  # noqa: F401
    import paying  # noqa: F401
    import proving  # noqa: F401
    import reading  # noqa: F401
    import repeating  # noqa: F401
    import suite

    passed, failed = suite.play(box, browsers, words)
    print(f"browser: {passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


@contextmanager
def sandbox(running: Path | None) -> Iterator[Box]:
    """The sandbox that runs in a folder, or a new one that is stopped in the end."""
    if running:
        yield Box(running)
        return
    with tempfile.TemporaryDirectory(prefix="bankside-browser-") as folder:
        box = Box.start(Path(folder) / "box")
        try:
            yield box
        finally:
            box.stop()


if __name__ == "__main__":
    sys.exit(main())
