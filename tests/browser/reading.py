"""What everybody must be able to read: both languages, no script, assistive technology, a slow line."""

from __future__ import annotations

from collections.abc import Iterator

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

import journeys as go
from box import Box
from browsing import DESKTOP, PAGE_BYTES_MAX, PHONE, Browsers, weight
from suite import test

SERIOUS = ("serious", "critical")


def every_page(page: Page, box: Box) -> Iterator[str]:
    """Walks through every kind of page; stops at each with what it is called."""
    page.goto(box.storefront)
    yield "all shops"
    page.click(f'a[data-shop="{go.BOOKS}"]')
    go.on(page, "shop")
    yield "shop"
    page.goto(page.url + "orders")
    yield "no orders"
    page.goto(page.url.removesuffix("orders") + "basket")
    yield "empty basket"
    page.goto(box.merchants[go.BOOKS].address)
    page.click('[data-sku="field-notes"] button.add')
    go.on(page, "basket")
    yield "basket"
    page.click("button.checkout")
    go.on(page, "payment")
    yield "payment page"
    order = go.order_of(page, box, go.BOOKS)
    page.click("form.choose-bank button")
    go.on(page, "picker")
    yield "picker"
    page.click(f'button[name=bank][value="{go.BASALT}"]')
    go.to_app(page)
    yield "order in the app"
    page.click("a.continue")
    go.on(page, "sign-in")
    yield "sign-in"
    customer = box.everyday(go.BASALT)
    go.by_password(page, customer)
    go.on(page, "cards")
    yield "cards"
    go.pick_test_card(page, customer, "902")
    go.on(page, "confirm")
    yield "confirmation"
    page.click("button.confirm")
    go.on(page, "charge", "declined")
    yield "declined charge"
    page.click("a.other-card")
    go.pick_card(page, "Test approves")
    go.confirm(page)
    go.paid(page)
    yield "approved charge"
    go.back_to_shop(page)
    go.on(page, "order", "paid")
    yield "paid order"
    page.click('nav a[href="/orders"]')
    go.on(page, "orders")
    yield "orders"
    page.goto(order.payment_url)
    go.on(page, "payment", "paid")
    yield "paid payment page"
    app = box.banks[go.BASALT].app
    page.goto(app)
    yield "first page of the app"
    page.click("button.activate, a.activate")
    go.on(page, "activate")
    yield "binding"
    go.sign_in_at_home(page, app, customer)
    page.goto(app)
    page.click("a.my-credentials")
    go.on(page, "credentials")
    yield "credentials"


def check_with_axe(box: Box, browsers: Browsers, scheme: str, window: dict[str, int], language: str) -> str:
    """No serious and no critical finding on any page."""
    axe, seen, findings = Axe(), 0, []
    with browsers.visitor(scheme=scheme, window=window, language=language) as visitor:
        page = visitor.tab()
        for name in every_page(page, box):
            seen += 1
            for found in axe.run(page).response["violations"]:
                if found["impact"] in SERIOUS:
                    nodes = "; ".join(f"{node['html']} {node['failureSummary']}" for node in found["nodes"][:3])
                    findings.append(f"{name}: {found['id']} ({found['impact']}): {nodes}")
    assert not findings, "\n".join(findings)
    return f"{seen} pages"


@test
def axe_finds_nothing_serious_in_light(box: Box, browsers: Browsers) -> str:
    """axe on every page, light, on a phone, in English."""
    return check_with_axe(box, browsers, "light", PHONE, "en-US")


@test
def axe_finds_nothing_serious_in_dark(box: Box, browsers: Browsers) -> str:
    """axe on every page, dark, in a desktop window, in Traditional Chinese."""
    return check_with_axe(box, browsers, "dark", DESKTOP, "zh-TW")


@test
def every_page_speaks_chinese(box: Box, browsers: Browsers) -> str:
    """Every page on the way is in Traditional Chinese for a browser that asks for it, and fits a phone's width."""
    seen = 0
    with browsers.visitor(language="zh-TW") as visitor:
        page = visitor.tab()
        for name in every_page(page, box):
            seen += 1
            go.in_chinese(page)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is {wide} pixels wider than a phone"
    return f"{seen} pages"


@test
def pages_are_small(box: Box, browsers: Browsers) -> str:
    """Each page with all that it loads is below 100 KB; its first paint is told."""
    figures = []
    with browsers.visitor() as walker:
        page = walker.tab()
        for name in every_page(page, box):
            if page.url.endswith("/events") or "/bind" in page.url:
                continue
            with browsers.visitor() as fresh:
                fresh.expected.append("status of 4")
                fresh.context.add_cookies(walker.context.cookies())
                transferred, paint = weight(fresh.tab(), page.url)
            assert 0 < transferred < PAGE_BYTES_MAX, f"{name} transfers {transferred} bytes"
            figures.append((transferred, paint, name))
    paints = sorted(paint for _, paint, _ in figures)
    largest = max(figures)
    return (
        f"{len(figures)} pages; largest {largest[0] / 1000:.1f} KB ({largest[2]}); first paint median "
        f"{paints[len(paints) // 2]} ms, slowest {paints[-1]} ms"
    )


@test
def payment_page_without_javascript(box: Box, browsers: Browsers) -> None:
    """Without JavaScript: the shop, the payment page with its QR code and its way to the banks, and its end by
    refresh."""
    with browsers.visitor(script=False) as plain, browsers.visitor() as phone:
        page = plain.tab()
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        assert page.locator("figure.qr svg").is_visible()
        app = phone.tab()
        app.goto(page.get_attribute("a.open-here", "href") or "")
        go.pay_by_password(app, box.payer(go.AURORA))
        go.paid(app)
        # It reloads itself, which a page without a script can.
        go.on(page, "payment", "paid")
        page.click("a.back")
        go.on(page, "order", "paid")
        order.settled("APPROVED", approvals=1)


@test
def picker_without_javascript(box: Box, browsers: Browsers) -> None:
    """Without JavaScript the picker still leads to the bank's app."""
    with browsers.visitor(script=False) as plain:
        page = plain.tab()
        go.buy(page, box, go.BOOKS, ["field-notes"])
        page.click("form.choose-bank button")
        go.on(page, "picker")
        page.click(f'button[name=bank][value="{go.NIMBUS}"]')
        page.wait_for_selector('body[data-page="handoff"], body[data-page="open"]', state="attached")
        if page.get_attribute("body", "data-page") == "handoff":
            address = page.get_attribute("a.open-app", "href") or ""
            assert address.startswith(box.banks[go.NIMBUS].app), address


@test
def picker_finds_and_remembers(box: Box, browsers: Browsers) -> None:
    """The picker's search narrows the banks down, and the bank that was used last comes first."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        go.buy(page, box, go.TEA, ["oolong"])
        page.click("form.choose-bank button")
        go.on(page, "picker")
        page.fill("input[type=search]", "nimbus")
        page.wait_for_function("() => [...document.querySelectorAll('button[name=bank]')]"
                               ".filter(b => b.offsetParent !== null).length === 1")
        page.locator(f'button[name=bank][value="{go.NIMBUS}"]').click()
        go.to_app(page)
        go.buy(page, box, go.TEA, ["oolong"])
        page.click("form.choose-bank button")
        go.on(page, "picker")
        first = page.locator("button[name=bank]").first.get_attribute("value")
        assert first == go.NIMBUS, first


@test
def bank_that_is_suspended_is_greyed_with_the_reason(box: Box, browsers: Browsers) -> None:
    """A bank that the operator has suspended stands last in the picker, says why, and can't be picked."""
    [closed] = box.said["suspended_banks"]
    with browsers.visitor() as visitor:
        page = visitor.tab()
        go.buy(page, box, go.TEA, ["oolong"])
        page.click("form.choose-bank button")
        go.on(page, "picker")
        last = page.locator("button[name=bank]").last
        assert last.get_attribute("value") == closed["id"]
        assert last.is_disabled()
        assert last.locator(".reason").inner_text(), "no reason"
