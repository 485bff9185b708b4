"""Browsers as people have them, watched for everything that a page must not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from box import Box

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

# How long a page may take to show what is waited for.
PATIENCE_MS = 15_000

# The largest page, with all that it loads, as it is transferred.
PAGE_BYTES_MAX = 100_000


def program() -> str | None:
    """The browser: `$CHROMIUM`, or what is on the PATH."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def launch(playwright: Playwright) -> Browser:
    """Starts it without a window."""
    # Its sandbox needs rights that a container's root does not have; all that it opens here is our own.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program(), args=flags)


@dataclass
class Visitor:
    """One person's browser, with cookies of its own."""

    context: BrowserContext
    hosts: set[str]
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of messages that a test provokes."""

    def tab(self) -> Page:
        """A new tab."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        return page

    def watch(self) -> None:
        """Notes errors, violations and requests to other hosts, in every tab."""
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.problems.append(f"error in a page: {error.error}"))
        self.context.on("request", self._request)

    def verify(self) -> None:
        """Fails where something was noted that the test did not expect."""
        unexpected = [p for p in self.problems if not any(part in p for part in self.expected)]
        assert not unexpected, "a page did what it must not: " + "; ".join(unexpected)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text} at {message.location.get('url', '')}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc not in self.hosts:
            self.problems.append(f"a request to {request.url}")


class Browsers:
    """Gives each test its visitors, and looks at them afterwards."""

    def __init__(self, browser: Browser, box: Box) -> None:
        self._browser = browser
        self._box = box

    @contextmanager
    def visitor(
        self,
        *,
        language: str = "en-US",
        window: dict[str, int] | None = None,
        scheme: str = "light",
        script: bool = True,
    ) -> Iterator[Visitor]:
        """A person with a browser: by default one who speaks English and holds a phone."""
        window = window or PHONE
        context = self._browser.new_context(
            locale=language,
            viewport=window,
            device_scale_factor=2 if window == PHONE else 1,
            has_touch=window == PHONE,
            color_scheme=scheme,
            java_script_enabled=script,
            reduced_motion="reduce",
        )
        visitor = Visitor(context, self._box.hosts())
        visitor.watch()
        try:
            yield visitor
            visitor.verify()
        finally:
            context.close()


def weight(page: Page, address: str) -> tuple[int, int]:
    """Opens an address with nothing in the cache: what it transfers in bytes, and its first paint in milliseconds."""
    finished: list[Request] = []
    page.on("requestfinished", lambda request: finished.append(request))
    page.goto(address, wait_until="load")
    sizes = [request.sizes() for request in finished]
    transferred = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return transferred, round(paint)
