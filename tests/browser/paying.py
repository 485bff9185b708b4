"""Payments that succeed: both embodiments, every shape of browser, every way from the page to the bank."""

from __future__ import annotations

import io

import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect

import journeys as go
from box import Box
from browsing import DESKTOP, PHONE, Browsers
from suite import test


def scan(page: Page) -> str:
    """What a camera reads off the page: the QR code in a picture of it."""
    picture = Image.open(io.BytesIO(page.locator("figure.qr svg").screenshot()))
    codes = [code for code in zxingcpp.read_barcodes(picture) if code.format == zxingcpp.BarcodeFormat.QRCode]
    assert len(codes) == 1, f"{len(codes)} QR codes in the picture"
    return codes[0].text


def on_one_device(box: Box, browsers: Browsers, window: dict[str, int], language: str) -> None:
    """Pays at the shop whose acquirer works without the platform."""
    with browsers.visitor(window=window, language=language) as visitor:
        page = visitor.tab()
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        go.open_here(page)
        go.pay_by_password(page, box.payer(go.AURORA))
        go.paid(page)
        go.back_to_shop(page)
        go.on(page, "order", "paid")
        order.settled("APPROVED", approvals=1)


def through_the_platform(box: Box, browsers: Browsers, window: dict[str, int], language: str, bank: str) -> None:
    """Pays by choosing a bank."""
    with browsers.visitor(window=window, language=language) as visitor:
        page = visitor.tab()
        order = go.buy(page, box, go.BOOKS, ["field-notes", "harbour-tales"])
        go.choose_bank(page, bank)
        go.pay_by_password(page, box.payer(bank))
        go.paid(page)
        go.back_to_shop(page)
        go.on(page, "order", "paid")
        order.settled("APPROVED", approvals=1)


@test
def direct_payment_on_a_phone(box: Box, browsers: Browsers) -> None:
    """Embodiment 1 on a phone: the order goes from the payment page into the bank's app, and is paid."""
    on_one_device(box, browsers, PHONE, "en-US")


@test
def direct_payment_on_a_desktop_in_chinese(box: Box, browsers: Browsers) -> None:
    """Embodiment 1 in a desktop window, in Traditional Chinese."""
    on_one_device(box, browsers, DESKTOP, "zh-TW")


@test
def chosen_bank_on_a_phone_in_chinese(box: Box, browsers: Browsers) -> None:
    """Embodiment 2 on a phone, in Traditional Chinese: the shopper picks a bank at the platform."""
    through_the_platform(box, browsers, PHONE, "zh-TW", go.NIMBUS)


@test
def chosen_bank_on_a_desktop(box: Box, browsers: Browsers) -> None:
    """Embodiment 2 in a desktop window, by the other bank of the platform."""
    through_the_platform(box, browsers, DESKTOP, "en-US", go.BASALT)


@test
def a_bank_that_calls_directly_can_be_chosen(box: Box, browsers: Browsers) -> None:
    """A customer of the bank that calls the acquirer itself pays an order that came by the platform's picker."""
    through_the_platform(box, browsers, PHONE, "en-US", go.AURORA)


@test
def qr_code_is_read_off_the_screen(box: Box, browsers: Browsers) -> None:
    """The QR code in a picture of the desktop's page is decoded, taken by the app on a phone, and pays the order;
    the page on the desktop turns to paid by itself."""
    with browsers.visitor(window=DESKTOP) as desktop, browsers.visitor() as phone:
        page = desktop.tab()
        order = go.buy(page, box, go.DIRECT, ["vase"])
        app = phone.tab()
        app.goto(box.banks[go.AURORA].app)
        app.fill("input[name=link]", scan(page))
        app.locator("form:has(input[name=link]) button").click()
        go.pay_by_password(app, box.payer(go.AURORA))
        go.paid(app)
        go.on(page, "payment", "paid")
        page.click("a.back")
        go.on(page, "order", "paid")
        order.settled("APPROVED", approvals=1)


@test
def camera_lands_on_the_bank_picker(box: Box, browsers: Browsers) -> None:
    """A phone's camera opens the QR code's link: it lands where the bank is chosen, and the phone pays."""
    with browsers.visitor(window=DESKTOP) as desktop, browsers.visitor() as phone:
        page = desktop.tab()
        order = go.buy(page, box, go.BOOKS, ["field-notes"])
        link = scan(page)
        assert link.startswith(box.platform_pages), link
        camera = phone.tab()
        camera.goto(link)
        go.on(camera, "picker")
        camera.click(f'button[name=bank][value="{go.BASALT}"]')
        go.to_app(camera)
        go.pay_by_password(camera, box.payer(go.BASALT))
        go.paid(camera)
        go.on(page, "payment", "paid")
        order.settled("APPROVED", approvals=1)


@test
def app_shows_what_the_order_says_before_it_asks(box: Box, browsers: Browsers) -> None:
    """Before any sign-in the app shows the shop's verified domain, the amount, and the masked recipient and city."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        page.goto(box.merchants[go.DIRECT].address)
        page.click('[data-sku="vase"] button.add')
        page.fill("[name=recipient]", "Lin Mei-Hua")
        page.select_option("[name=city]", "Tainan")
        page.click("button.checkout")
        go.on(page, "payment")
        go.open_here(page)
        go.on(page, "open")
        said = page.inner_text("main")
        for part in ["Ferry Kiln Pottery", "ferry-kiln.localhost", "860", "L*** M*** H***", "Tainan"]:
            assert part in said, f"{part} is not in:\n{said}"
        assert "Lin Mei-Hua" not in said


@test
def keyboard_is_enough(box: Box, browsers: Browsers) -> None:
    """A whole payment without a pointer: Tab, Enter and typing."""
    with browsers.visitor(window=DESKTOP) as visitor:
        page = visitor.tab()
        customer = box.payer(go.AURORA)
        page.goto(box.merchants[go.DIRECT].address)
        press(page, '[data-sku="tea-bowl"] button.add')
        go.on(page, "basket")
        press(page, "button.checkout")
        go.on(page, "payment")
        order = go.order_of(page, box, go.DIRECT)
        press(page, "a.open-here")
        go.on(page, "open")
        press(page, "a.continue")
        go.on(page, "sign-in")
        for name, value in [
            ("national_id", customer.national_id),
            ("user_code", customer.user_code),
            ("password", customer.password),
        ]:
            tab_to(page, f"form[data-proof=knowledge] [name={name}]")
            page.keyboard.type(value)
        page.keyboard.press("Enter")
        go.on(page, "cards")
        press(page, "button[name=card]:not([data-unusable])")
        go.on(page, "confirm")
        press(page, "button.confirm")
        go.paid(page)
        press(page, "a.back-to-shop")
        go.on(page, "order", "paid")
        order.settled("APPROVED", approvals=1)


def tab_to(page: Page, selector: str) -> None:
    """Moves the focus on until it is there, and fails where the focus can't be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement?.matches(wanted)", selector):
            ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert ring != "none", f"{selector} has the focus and nobody sees it"
            return
    raise AssertionError(f"{selector} on {page.url} is not reached by the keyboard")


def press(page: Page, selector: str) -> None:
    """Activates something by the keyboard."""
    tab_to(page, selector)
    page.keyboard.press("Enter")


@test
def basket_keeps_what_is_put_in(box: Box, browsers: Browsers) -> None:
    """Quantities are changed and things taken out; the order is over what the basket shows."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        page.goto(box.merchants[go.TEA].address)
        page.click('[data-sku="oolong"] button.add')
        page.click("header .name")
        page.click('[data-sku="tea-set"] button.add')
        row = page.locator('li[data-sku="oolong"]')
        row.locator("[name=quantity]").fill("3")
        row.locator("button").click()
        row = page.locator('li[data-sku="tea-set"]')
        row.locator("[name=quantity]").fill("0")
        row.locator("button").click()
        expect(page.locator("li[data-sku]")).to_have_count(1)
        page.click("button.checkout")
        go.on(page, "payment")
        go.shows(page, ".amount", "540")
