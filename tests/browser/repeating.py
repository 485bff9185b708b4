"""Double clicks, reloads, the back button, second tabs, other browsers: never a second charge, never a dead end."""

from __future__ import annotations

from playwright.sync_api import Page

import journeys as go
from box import Box
from browsing import DESKTOP, Browsers
from suite import test


def to_confirm(page: Page, box: Box, sku: str = "tea-bowl") -> go.Order:
    """As far as the confirmation, at the direct shop."""
    order = go.buy(page, box, go.DIRECT, [sku])
    go.open_here(page)
    go.to_sign_in(page)
    go.by_password(page, box.payer(go.AURORA))
    go.pick_card(page)
    go.on(page, "confirm")
    return order


@test
def double_click_on_checkout_makes_one_order(box: Box, browsers: Browsers) -> None:
    """Two clicks on the checkout, and the same form from two tabs: one order."""
    with browsers.visitor() as visitor:
        page, other = visitor.tab(), visitor.tab()
        page.goto(box.merchants[go.DIRECT].address)
        page.click('[data-sku="vase"] button.add')
        go.on(page, "basket")
        other.goto(page.url)
        page.dblclick("button.checkout")
        go.on(page, "payment")
        other.click("button.checkout")
        go.on(other, "payment")
        assert page.url == other.url
        other.goto(box.merchants[go.DIRECT].address + "orders")
        assert other.locator(".order").count() == 1


@test
def double_click_on_confirm_charges_once(box: Box, browsers: Browsers) -> None:
    """Two clicks on the confirmation: one authorization."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        order = to_confirm(page, box)
        page.dblclick("button.confirm")
        go.paid(page)
        order.settled("APPROVED", approvals=1)


@test
def two_tabs_confirm_one_charge(box: Box, browsers: Browsers) -> None:
    """The same confirmation from two tabs: both show the one payment."""
    with browsers.visitor() as visitor:
        page, other = visitor.tab(), visitor.tab()
        order = to_confirm(page, box)
        other.goto(page.url)
        go.on(other, "confirm")
        page.click("button.confirm", no_wait_after=True)
        other.click("button.confirm")
        go.paid(page)
        go.paid(other)
        order.settled("APPROVED", approvals=1)


@test
def refresh_at_every_step(box: Box, browsers: Browsers) -> None:
    """A reload of every page on the way shows the same page again, and the order is paid once."""
    with browsers.visitor() as visitor:
        page = visitor.tab()

        def again(name: str, state: str | None = None) -> None:
            go.on(page, name, state)
            page.reload()
            go.on(page, name, state)

        page.goto(box.merchants[go.BOOKS].address)
        again("shop")
        page.click('[data-sku="field-notes"] button.add')
        again("basket")
        page.click("button.checkout")
        again("payment", "open")
        order = go.order_of(page, box, go.BOOKS)
        page.click("form.choose-bank button")
        again("picker")
        page.click(f'button[name=bank][value="{go.BASALT}"]')
        go.to_app(page)
        again("open")
        page.click("a.continue")
        again("sign-in")
        go.by_password(page, box.payer(go.BASALT))
        again("cards")
        go.pick_card(page)
        again("confirm")
        page.click("button.confirm")
        again("charge", "approved")
        go.back_to_shop(page)
        again("order", "paid")
        order.settled("APPROVED", approvals=1)


@test
def back_button_at_every_step(box: Box, browsers: Browsers) -> None:
    """Back from every page and on again; back from the result doesn't pay again."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.payer(go.AURORA)
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        page.go_back()
        go.on(page, "basket")
        page.go_forward()
        go.on(page, "payment", "open")
        go.open_here(page)
        go.on(page, "open")
        page.go_back()
        go.on(page, "payment", "open")
        go.open_here(page)
        go.to_sign_in(page)
        page.go_back()
        go.to_sign_in(page)
        go.by_password(page, customer)
        go.on(page, "cards")
        page.go_back()
        # Signed in already: the sign-in leads on.
        page.wait_for_selector('body[data-page="cards"], body[data-page="open"]', state="attached")
        if page.get_attribute("body", "data-page") == "open":
            page.click("a.continue")
        go.pick_card(page)
        go.on(page, "confirm")
        page.go_back()
        go.pick_card(page)
        go.confirm(page)
        go.paid(page)
        page.go_back()
        page.wait_for_load_state()
        name = page.get_attribute("body", "data-page")
        if name == "confirm":
            page.click("button.confirm")
        go.paid(page)
        order.settled("APPROVED", approvals=1)


@test
def payment_page_after_the_payment(box: Box, browsers: Browsers) -> None:
    """A tab that was left on the payment page turns to paid; the link in it can't be used for another payment."""
    with browsers.visitor() as visitor, browsers.visitor() as other:
        page, left = visitor.tab(), visitor.tab()
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        link = page.get_attribute("a.open-here", "href") or ""
        left.goto(page.url)
        go.open_here(page)
        go.pay_by_password(page, box.payer(go.AURORA))
        go.paid(page)
        go.on(left, "payment", "paid")
        late = other.tab()
        other.expected.append("status of 4")
        late.goto(link)
        late.wait_for_selector('body[data-page="open"], body[data-page="problem"]', state="attached")
        if late.locator("a.continue").count():
            go.pay_by_password(late, box.payer(go.AURORA))
            # Another customer of the same bank has paid it, which the bank knows by itself.
            go.on(late, "problem")
        order.settled("APPROVED", approvals=1)


@test
def lost_connection_while_paying(box: Box, browsers: Browsers) -> None:
    """The bank takes the confirmation, and its answer is lost: sent again from the same page, it is the one payment."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        visitor.expected.append("ERR_CONNECTION_RESET")
        order = to_confirm(page, box)
        address = page.url

        session = page.context.new_cdp_session(page)

        def lose(paused: dict[str, str]) -> None:
            session.send("Fetch.failRequest", {"requestId": paused["requestId"], "errorReason": "ConnectionReset"})

        # The request reaches the bank; what is lost is the answer.
        session.on("Fetch.requestPaused", lose)
        session.send("Fetch.enable", {"patterns": [{"urlPattern": "*/confirm/*", "requestStage": "Response"}]})
        with page.expect_event("requestfailed"):
            page.click("button.confirm", no_wait_after=True)
        page.wait_for_url(lambda address: address.startswith("chrome-error:"))
        session.send("Fetch.disable")
        order.await_state("APPROVED")
        page.goto(address)
        go.paid(page)
        order.settled("APPROVED", approvals=1)


@test
def checkout_is_bound_to_its_browser(box: Box, browsers: Browsers) -> None:
    """A picker's address that is opened in another browser shows nothing to pick."""
    with browsers.visitor() as visitor, browsers.visitor() as stranger:
        page = visitor.tab()
        order = go.buy(page, box, go.BOOKS, ["field-notes"])
        page.click("form.choose-bank button")
        go.on(page, "picker")
        stranger.expected.append("status of 4")
        elsewhere = stranger.tab()
        elsewhere.goto(page.url)
        assert elsewhere.locator("button[name=bank]:enabled").count() == 0, "another browser can pick"
        page.reload()
        go.on(page, "picker")
        order.settled("OPEN", approvals=0)


@test
def relayed_link_is_refused_above_the_amount(box: Box, browsers: Browsers) -> None:
    """Above the acquirer's amount there is no QR code; a link passed on to another browser is refused there, and the
    browser that opened the page pays."""
    with browsers.visitor(window=DESKTOP) as own, browsers.visitor() as victim:
        page = own.tab()
        customer, bank = box.payer(go.AURORA), box.banks[go.AURORA]
        go.bind(page, bank.app, customer)
        order = go.buy(page, box, go.DIRECT, ["moon-jar"])
        assert page.locator("figure.qr").count() == 0
        link = page.get_attribute("a.open-here", "href") or ""
        victim.expected.append("status of 4")
        lured, other = victim.tab(), box.payer(go.AURORA)
        go.bind(lured, bank.app, other)
        lured.goto(link)
        go.to_sign_in(lured)
        go.by_password(lured, other)
        go.pick_card(lured)
        to_device_check(lured)
        lured.click("a.device-check")
        lured.wait_for_selector('body[data-page="problem"]', state="attached")
        order.settled("OPEN", approvals=0)
        go.open_here(page)
        go.to_sign_in(page)
        go.by_password(page, customer)
        go.pick_card(page)
        to_device_check(page)
        page.click("a.device-check")
        go.confirm(page)
        go.paid(page)
        order.settled("APPROVED", approvals=1)


def to_device_check(page: Page) -> None:
    """As far as the check of the device, with a step-up and the cards on the way where the bank wants it so."""
    for _ in range(4):
        page.wait_for_load_state()
        name = page.get_attribute("body", "data-page")
        if name == "step-up":
            go.prove(page, "possession")
            page.wait_for_selector('body:not([data-page="step-up"])', state="attached")
        elif name == "confirm":
            page.click("button.confirm")
            page.wait_for_selector('body:not([data-page="confirm"])', state="attached")
        elif name == "cards":
            go.pick_card(page)
        else:
            break
    go.on(page, "device-check")
