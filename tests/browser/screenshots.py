"""The README's pictures, taken from the real pages of a payment."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

import journeys as go
from box import Box
from browsing import DESKTOP, Browsers

# A picture's largest size in bytes, so that the repository stays small.
PICTURE_BYTES_MAX = 60_000

# Flat areas and text keep their look in so few colours.
COLOURS = 64


def take(box: Box, browsers: Browsers, folder: Path) -> None:
    """Buys and pays once in each language, and keeps what a phone shows on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    with browsers.visitor(language="en-US") as visitor:
        by_platform(visitor.tab(), box, folder)
    with browsers.visitor(language="zh-TW", scheme="dark") as visitor:
        in_chinese(visitor.tab(), box, folder)
    with browsers.visitor(window=DESKTOP) as visitor:
        page = visitor.tab()
        go.buy(page, box, go.DIRECT, ["tea-bowl", "vase"])
        keep(page, folder, "payment-desktop")


def by_platform(page: Page, box: Box, folder: Path) -> None:
    """The second embodiment, in English and in light."""
    page.goto(box.merchants[go.BOOKS].address)
    keep(page, folder, "shop")
    go.buy(page, box, go.BOOKS, ["field-notes", "harbour-tales"])
    keep(page, folder, "payment")
    page.click("form.choose-bank button")
    go.on(page, "picker")
    keep(page, folder, "picker")
    page.click(f'button[name=bank][value="{go.BASALT}"]')
    go.to_app(page)
    keep(page, folder, "app-order")
    page.click("a.continue")
    go.on(page, "sign-in")
    keep(page, folder, "app-sign-in")
    go.by_password(page, box.everyday(go.BASALT))
    go.on(page, "cards")
    keep(page, folder, "app-cards")
    go.pick_card(page, "Test approves")
    go.on(page, "confirm")
    keep(page, folder, "app-confirm")
    page.click("button.confirm")
    go.paid(page)
    keep(page, folder, "app-paid")
    go.back_to_shop(page)
    go.on(page, "order", "paid")
    keep(page, folder, "shop-paid")


def in_chinese(page: Page, box: Box, folder: Path) -> None:
    """The first embodiment, in Traditional Chinese and in dark."""
    go.buy(page, box, go.DIRECT, ["tea-bowl"])
    keep(page, folder, "zh-payment")
    go.open_here(page)
    go.to_sign_in(page)
    go.by_password(page, box.everyday(go.AURORA))
    go.pick_card(page, "Daily Debit")
    go.on(page, "confirm")
    keep(page, folder, "zh-app-confirm")
    page.click("button.confirm")
    go.paid(page)
    keep(page, folder, "zh-app-paid")


def keep(page: Page, folder: Path, name: str) -> None:
    """Writes what the window shows, in few colours and at the size of the window's own pixels."""
    page.wait_for_load_state("load")
    page.wait_for_function("() => [...document.images].every(picture => picture.complete)")
    picture = Image.open(io.BytesIO(page.screenshot(scale="css"))).convert("RGB")
    flat = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    path = folder / f"{name}.png"
    flat.save(path, optimize=True)
    size = path.stat().st_size
    assert size < PICTURE_BYTES_MAX, f"{path} has {size} bytes"
    print(f"{path} ({size / 1000:.1f} KB)", flush=True)
