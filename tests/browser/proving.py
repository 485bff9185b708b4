"""Every credential in a real browser, and the step from one proof to two."""

from __future__ import annotations

from playwright.sync_api import Page

import journeys as go
from box import Box, Customer
from browsing import Browsers
from suite import test


def with_authenticator(page: Page) -> None:
    """Gives the tab's browser a platform authenticator, whose user is always there and verified."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def register(page: Page, app: str, customer: Customer, form: str, result: str) -> None:
    """Binds this browser, and adds another credential under two kinds of proof."""
    go.bind(page, app, customer)
    go.sign_in_at_home(page, app, customer)
    page.goto(app)
    page.click("a.my-credentials")
    go.on(page, "credentials")
    page.click(f"{form} button")
    # The session has proved one kind; the bank asks for another before it takes a credential.
    page.wait_for_selector(f'body[data-page="step-up"], {result}')
    if page.get_attribute("body", "data-page") == "step-up":
        go.prove(page, "possession")
        go.on(page, "credentials")
        page.click(f"{form} button")
    page.wait_for_selector(result)


def pay_with(page: Page, box: Box, proof: str, sku: str) -> None:
    """A payment at the direct shop whose only proof is this one."""
    order = go.buy(page, box, go.DIRECT, [sku])
    go.open_here(page)
    go.to_sign_in(page)
    go.prove(page, proof)
    go.pick_card(page)
    go.confirm(page)
    go.paid(page)
    go.back_to_shop(page)
    go.on(page, "order", "paid")
    order.settled("APPROVED", approvals=1)


@test
def bound_device_pays(box: Box, browsers: Browsers) -> None:
    """A browser that was bound with an activation code signs in and signs the consent with its own key."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        go.bind(page, box.banks[go.AURORA].app, box.payer(go.AURORA))
        pay_with(page, box, "possession", "tea-bowl")


@test
def features_pay(box: Box, browsers: Browsers) -> None:
    """Features are enrolled under two kinds of proof, and pay."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        app, customer = box.banks[go.AURORA].app, box.payer(go.AURORA)
        register(page, app, customer, "form.enroll", "[data-notice]")
        pay_with(page, box, "inherence", "tea-bowl")


@test
def passkey_pays_what_takes_two_kinds(box: Box, browsers: Browsers) -> None:
    """A passkey is registered in the browser, and pays by itself what takes two kinds of proof."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        with_authenticator(page)
        app, customer = box.banks[go.AURORA].app, box.payer(go.AURORA)
        register(page, app, customer, "form.register", "[data-passkey]")
        pay_with(page, box, "passkey", "plates")


@test
def step_up_asks_for_what_is_missing(box: Box, browsers: Browsers) -> None:
    """A payment that takes two kinds: after the password the app asks for the device, and goes on where it was."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.payer(go.AURORA)
        go.bind(page, box.banks[go.AURORA].app, customer)
        order = go.buy(page, box, go.DIRECT, ["plates"])
        go.open_here(page)
        go.to_sign_in(page)
        go.by_password(page, customer)
        go.pick_card(page)
        go.on(page, "step-up")
        order.settled("OPEN", approvals=0)
        go.prove(page, "possession")
        go.confirm(page)
        go.paid(page)
        order.settled("APPROVED", approvals=1)


@test
def acquirer_that_asks_for_more_is_satisfied(box: Box, browsers: Browsers) -> None:
    """A shop whose acquirer demands two kinds and a consent: the decline leads to the step-up, which pays."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.payer(go.NIMBUS)
        go.bind(page, box.banks[go.NIMBUS].app, customer)
        order = go.buy(page, box, go.PEARLS, ["ear-studs"])
        go.choose_bank(page, go.NIMBUS)
        go.pay_by_password(page, customer)
        page.wait_for_selector('body[data-page="step-up"], body[data-state="declined"]', state="attached")
        if page.get_attribute("body", "data-page") == "charge":
            order.settled("OPEN", approvals=0, declines=1)
            page.click("a.step-up")
        go.prove(page, "possession")
        page.wait_for_selector('body[data-page="cards"], body[data-page="confirm"]', state="attached")
        if page.get_attribute("body", "data-page") == "cards":
            go.pick_card(page)
        go.confirm(page)
        go.paid(page)
        order.settled("APPROVED", approvals=1, declines=order.truth().declines)


@test
def wrong_password_is_told_and_can_be_mended(box: Box, browsers: Browsers) -> None:
    """A wrong password says so on the same page, and the right one goes on."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.payer(go.AURORA)
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        go.open_here(page)
        go.to_sign_in(page)
        wrong = Customer(**{**vars(customer), "password": "not the password"})
        go.by_password(page, wrong)
        page.wait_for_selector("[data-notice]")
        go.on(page, "sign-in")
        go.by_password(page, customer)
        go.pick_card(page)
        go.confirm(page)
        go.paid(page)
        order.settled("APPROVED", approvals=1)


@test
def lockout_is_explained(box: Box, browsers: Browsers) -> None:
    """Five wrong passwords lock sign-in for a while: the page says so, and the way back to the shop is there."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.banks[go.AURORA].customers[2]
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        go.open_here(page)
        go.to_sign_in(page)
        visitor.expected.append("status of 4")
        for _ in range(6):
            wrong = Customer(**{**vars(customer), "password": "not the password"})
            go.by_password(page, wrong)
            page.wait_for_load_state()
        assert "30" in page.inner_text("main") or "lock" in page.inner_text("main").lower(), page.inner_text("main")
        order.settled("OPEN", approvals=0)


@test
def unusable_cards_say_why(box: Box, browsers: Browsers) -> None:
    """Cards are masked; a blocked, an expired and a foreign one are shown with the reason and can't be picked."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        customer = box.banks[go.AURORA].customers[3]
        go.buy(page, box, go.DIRECT, ["tea-bowl"])
        go.open_here(page)
        go.to_sign_in(page)
        go.by_password(page, customer)
        go.on(page, "cards")
        unusable = page.locator("[data-unusable]")
        reasons = {unusable.nth(place).get_attribute("data-unusable") for place in range(unusable.count())}
        assert len(reasons) >= 2, reasons
        assert all(unusable.nth(place).is_disabled() for place in range(unusable.count()))
        text = page.content()
        for pan in customer.cards.values():
            assert pan not in text, "a card number stands in the page"
            assert pan[-4:] in text
