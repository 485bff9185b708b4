"""Payments that do not succeed at once, or not at all: every end is clear, and nothing is a dead end."""

from __future__ import annotations

from playwright.sync_api import expect

import journeys as go
from box import Box
from browsing import DESKTOP, Browsers
from suite import test

# How long a one-minute order and its expiry may take to show.
EXPIRY_MS = 100_000

# The payment page of an order that can't be paid any more says so in its status, too, which a browser notes.
GONE = "status of 410"


@test
def decline_and_another_card(box: Box, browsers: Browsers) -> None:
    """A declined card says why; another card pays the same order, whose page has told of both."""
    with browsers.visitor(window=DESKTOP) as desktop, browsers.visitor() as phone:
        page, app = desktop.tab(), phone.tab()
        customer = box.everyday(go.BASALT)
        order = go.buy(page, box, go.BOOKS, ["field-notes"])
        app.goto(order.payment_url)
        go.choose_bank(app, go.BASALT)
        go.to_sign_in(app)
        go.by_password(app, customer)
        go.pick_test_card(app, customer, "901")
        go.confirm(app)
        go.on(app, "charge", "declined")
        go.shows(app, ".reason", "not enough left")
        go.on(page, "payment", "declined")
        order.settled("OPEN", approvals=0, declines=1)
        app.click("a.other-card")
        go.pick_card(app, "Test approves")
        go.confirm(app)
        go.paid(app)
        go.on(page, "payment", "paid")
        order.settled("APPROVED", approvals=1, declines=1)
        page.click("a.back")
        go.on(page, "order", "paid")


@test
def five_declines_end_the_order(box: Box, browsers: Browsers) -> None:
    """After five declines the order has failed: everybody says so, nothing is charged, the shop is a click away."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        visitor.expected.append(GONE)
        customer = box.everyday(go.NIMBUS)
        order = go.buy(page, box, go.TEA, ["oolong"])
        go.choose_bank(page, go.NIMBUS)
        go.to_sign_in(page)
        go.by_password(page, customer)
        for attempt, digits in enumerate(["902", "903", "904", "905", "906"], start=1):
            go.pick_test_card(page, customer, digits)
            go.confirm(page)
            go.on(page, "charge", "declined")
            order.settled("OPEN" if attempt < 5 else "FAILED", approvals=0, declines=attempt)
            if attempt < 5:
                page.click("a.other-card")
        go.back_to_shop(page)
        go.on(page, "order", "failed")
        page.goto(order.payment_url)
        go.on(page, "payment", "failed")


@test
def shop_cancels_while_the_page_is_open(box: Box, browsers: Browsers) -> None:
    """The shop cancels: the open payment page turns to cancelled by itself, and the bank's app can't pay any more."""
    with browsers.visitor(window=DESKTOP) as visitor, browsers.visitor() as phone:
        page, shop = visitor.tab(), visitor.tab()
        visitor.expected.append(GONE)
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        app = phone.tab()
        app.goto(page.get_attribute("a.open-here", "href") or "")
        go.to_sign_in(app)
        go.by_password(app, box.payer(go.AURORA))
        go.pick_card(app)
        go.on(app, "confirm")
        shop.goto(order.merchant.address + "orders")
        shop.click(f'[data-order="{order.id}"] button.cancel')
        go.on(shop, "order", "cancelled")
        go.shows(shop, ".answer", "cancelled")
        go.on(page, "payment", "cancelled")
        app.click("button.confirm")
        go.on(app, "charge", "declined")
        go.back_to_shop(app)
        go.on(app, "order", "cancelled")
        assert app.locator("button.cancel").count() == 0
        order.settled("CANCELLED", approvals=0)


@test
def cancel_while_a_payment_is_under_way(box: Box, browsers: Browsers) -> None:
    """A cancel while the card network is asked is pending, in words; the decline makes it cancelled by itself."""
    with browsers.visitor() as visitor:
        app, shop = visitor.tab(), visitor.tab()
        customer = box.everyday(go.BASALT)
        order = go.buy(app, box, go.BOOKS, ["harbour-tales"])
        shop.goto(order.merchant.address + "orders")
        shop.click(f'[data-order="{order.id}"] h2 a')
        go.on(shop, "order", "open")
        go.choose_bank(app, go.BASALT)
        go.to_sign_in(app)
        go.by_password(app, customer)
        # The card network never answers this one, so that it is under way for seconds.
        go.pick_test_card(app, customer, "908")
        go.confirm(app)
        order.await_state("AUTHORIZING")
        shop.click("button.cancel")
        go.shows(shop, ".answer", "under way")
        shop.wait_for_selector('body[data-page="order"][data-state="cancelled"]', state="attached", timeout=40_000)
        expect(app.locator("body")).to_have_attribute("data-state", "declined", timeout=40_000)
        order.settled("CANCELLED", approvals=0, declines=1)


@test
def cancel_after_the_payment(box: Box, browsers: Browsers) -> None:
    """A cancel that comes after the payment is too late, in words, and changes nothing."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        go.open_here(page)
        go.pay_by_password(page, box.payer(go.AURORA))
        go.paid(page)
        go.back_to_shop(page)
        go.on(page, "order", "paid")
        go.press_old_cancel(page)
        go.shows(page, ".answer", "Too late")
        go.on(page, "order", "paid")
        order.settled("APPROVED", approvals=1)


@test
def order_expires_while_the_page_is_open(box: Box, browsers: Browsers) -> None:
    """A one-minute order: the countdown runs, the page turns to expired by itself, the shop knows, and the cancel
    that comes too late is answered in words."""
    with browsers.visitor() as visitor:
        page, shop = visitor.tab(), visitor.tab()
        visitor.expected.append(GONE)
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"], go.ONE_MINUTE)
        before = page.inner_text("time.countdown")
        shop.goto(order.merchant.address + "orders")
        shop.click(f'[data-order="{order.id}"] h2 a')
        go.on(shop, "order", "open")
        page.wait_for_function("text => document.querySelector('time.countdown').innerText !== text", arg=before)
        page.wait_for_selector('body[data-page="payment"][data-state="expired"]', state="attached", timeout=EXPIRY_MS)
        shop.wait_for_selector('body[data-page="order"][data-state="expired"]', state="attached", timeout=EXPIRY_MS)
        go.press_old_cancel(shop)
        go.shows(shop, ".answer", "expired before")
        page.click("a.back")
        go.on(page, "order", "expired")
        order.settled("EXPIRED", approvals=0)


@test
def silent_network_ends_in_a_clear_decline(box: Box, browsers: Browsers) -> None:
    """The card network never answers: the app says that it waits, then that nothing was charged."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.everyday(go.AURORA)
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        go.open_here(page)
        go.to_sign_in(page)
        go.by_password(page, customer)
        go.pick_test_card(page, customer, "908")
        go.confirm(page)
        go.on(page, "charge")
        expect(page.locator("body")).to_have_attribute("data-state", "declined", timeout=40_000)
        order.settled("OPEN", approvals=0, declines=1)
        page.click("a.other-card")
        go.pick_card(page, "Test approves")
        go.confirm(page)
        go.paid(page)
        order.settled("APPROVED", approvals=1, declines=1)
