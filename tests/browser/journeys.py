"""What people do on the pages: buying, paying, proving who they are."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from playwright.sync_api import Page, expect

import truth
from box import Box, Customer, Merchant

DIRECT = "kiln-ferry"
BOOKS = "bookshop-lumen"
TEA = "tea-house-osmanthus"
PEARLS = "pearl-cabinet"

AURORA = "bank-aurora"
BASALT = "bank-basalt"
NIMBUS = "bank-nimbus"

FIFTEEN_MINUTES, ONE_HOUR, ONE_MINUTE = "0", "1", "2"


@dataclass
class Order:
    """An order under way."""

    box: Box
    merchant: Merchant
    id: str
    payment_url: str

    def truth(self) -> truth.Truth:
        """What the acquirer says of it."""
        return truth.of(self.box, self.merchant, self.id)

    def await_state(self, state: str) -> None:
        """Waits until the acquirer says so."""
        deadline = time.monotonic() + 10
        while (found := self.truth().state) != state:
            assert time.monotonic() < deadline, f"{self.id} is {found}, not {state}"

    def settled(self, state: str, *, approvals: int, declines: int = 0) -> None:
        """Fails unless this is what became of it: at the acquirer, not on a page."""
        found = self.truth()
        expected = (state, approvals, declines)
        assert (found.state, found.approvals, found.declines) == expected, f"{self.id}: {found}, not {expected}"


def on(page: Page, name: str, state: str | None = None) -> None:
    """Waits until a tab shows this page."""
    selector = f'body[data-page="{name}"]' + (f'[data-state="{state}"]' if state else "")
    try:
        page.wait_for_selector(selector, state="attached")
    except Exception as error:
        said = page.inner_text("body")[:600] if page.url != "about:blank" else ""
        shown = page.evaluate("JSON.stringify(document.body.dataset)")
        raise AssertionError(f"{page.url} shows {shown} and not {selector}:\n{said}") from error


def buy(page: Page, box: Box, merchant: str, skus: list[str], life: str = FIFTEEN_MINUTES) -> Order:
    """From the first page of all shops to the payment page."""
    page.goto(box.storefront)
    page.click(f'a[data-shop="{merchant}"]')
    for sku in skus:
        on(page, "shop")
        page.click(f'[data-sku="{sku}"] button.add')
        on(page, "basket")
        if sku != skus[-1]:
            page.click("header .name")
    page.select_option("select[name=time]", life)
    page.click("button.checkout")
    on(page, "payment")
    return order_of(page, box, merchant)


def order_of(page: Page, box: Box, merchant: str) -> Order:
    """The order whose payment page is open."""
    found = re.search(r"/pay/(ord_[a-z0-9]+)", page.url)
    assert found, f"{page.url} is no payment page"
    return Order(box, box.merchants[merchant], found.group(1), page.url)


def open_here(page: Page) -> None:
    """By the payment page's link on this device into the bank's app, or to where no app opens."""
    page.click("a.open-here")


def choose_bank(page: Page, bank: str) -> None:
    """By the picker into a bank's app."""
    page.click("form.choose-bank button")
    on(page, "picker")
    page.click(f'button[name=bank][value="{bank}"]')
    to_app(page)


def to_app(page: Page) -> None:
    """From a picked bank into its app: at once, or by the link of the page in between."""
    page.wait_for_selector('body[data-page="handoff"], body[data-page="open"]', state="attached")
    if page.get_attribute("body", "data-page") == "handoff":
        page.click("a.open-app")
    on(page, "open")


def to_sign_in(page: Page) -> None:
    """From the order in the bank's app to the sign-in."""
    on(page, "open")
    page.click("a.continue")
    on(page, "sign-in")


def by_password(page: Page, customer: Customer) -> None:
    """Fills in and sends what the customer knows; works for the step-up, too."""
    form = page.locator("form[data-proof=knowledge]")
    form.locator("[name=national_id]").fill(customer.national_id)
    form.locator("[name=user_code]").fill(customer.user_code)
    form.locator("[name=password]").fill(customer.password)
    form.locator("button").click()


def prove(page: Page, proof: str) -> None:
    """By what the browser itself holds: possession, inherence or passkey."""
    page.click(f"form[data-proof={proof}] button")


def pick_card(page: Page, label: str | None = None) -> None:
    """The card with this label, or the first that can pay."""
    on(page, "cards")
    usable = page.locator("button[name=card]:not([data-unusable])")
    (usable.filter(has_text=label) if label else usable).first.click()


def pick_test_card(page: Page, customer: Customer, digits: str) -> None:
    """The card that stands for a behaviour of the card network, by the digits before its check digit."""
    labels = [label for label, pan in customer.cards.items() if pan[12:15] == digits]
    assert labels, f"{customer.name} has no card for {digits}"
    pick_card(page, labels[0])


def confirm(page: Page) -> None:
    """Looks at what is to be paid, and pays."""
    on(page, "confirm")
    page.click("button.confirm")


def paid(page: Page) -> None:
    """Waits until the bank's app says so."""
    on(page, "charge", "approved")


def back_to_shop(page: Page) -> None:
    """Back to the shop, whose order page tells what the shop has heard."""
    page.click("a.back-to-shop")
    on(page, "order")


def pay_by_password(page: Page, customer: Customer, card: str | None = None) -> None:
    """From the order in the bank's app to the result, with one proof."""
    to_sign_in(page)
    by_password(page, customer)
    pick_card(page, card)
    confirm(page)


def bind(page: Page, bank_app: str, customer: Customer) -> None:
    """Binds this browser with the customer's activation code."""
    page.goto(bank_app)
    page.click("button.activate")
    page.fill("form.bind [name=code]", customer.activation_code)
    page.click("form.bind button")
    page.wait_for_selector("[data-notice]")


def sign_in_at_home(page: Page, bank_app: str, customer: Customer) -> None:
    """Signs in without an order."""
    page.goto(bank_app)
    if page.locator("a.my-cards").count() == 0:
        page.click("button.sign-in")
        on(page, "sign-in")
        by_password(page, customer)


def send_form(page: Page, target: str) -> None:
    """Sends an empty form from the page that is open, wherever it leads."""
    page.evaluate(
        """target => { const form = document.createElement('form'); form.method = 'post';
        form.action = target; document.body.append(form); form.submit(); }""",
        target,
    )


def press_old_cancel(page: Page) -> None:
    """Presses the cancel button that an order's page had before it changed."""
    send_form(page, page.url + "/cancel")


def in_chinese(page: Page) -> None:
    """Fails unless the page says that it is in Traditional Chinese, and is."""
    assert page.get_attribute("html", "lang") == "zh-TW", page.url
    assert re.search(r"[\u4e00-\u9fff]", page.inner_text("main")), f"no Chinese on {page.url}"


def shows(page: Page, selector: str, text: str) -> None:
    """Waits until an element shows a text."""
    expect(page.locator(selector).first).to_contain_text(text)
