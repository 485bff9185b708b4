"""What keeps the pages safe: headers, cookies, and the guard against other sites."""

from __future__ import annotations

from urllib.parse import urlsplit

import journeys as go
from box import Box
from browsing import Browsers
from suite import test


@test
def every_page_has_a_strict_policy(box: Box, browsers: Browsers) -> str:
    """Every page has a Content-Security-Policy that allows nothing inline and nothing foreign, and no referrer."""
    from reading import every_page

    seen = 0
    with browsers.visitor() as visitor:
        page = visitor.tab()
        answers = []
        page.on("response", lambda answer: answers.append(answer))
        for name in every_page(page, box):
            seen += 1
            documents = [answer for answer in answers if answer.request.resource_type == "document"]
            headers = documents[-1].all_headers()
            policy = headers.get("content-security-policy", "")
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, f"{name}: {policy}"
            assert "unsafe" not in policy and "*" not in policy, f"{name}: {policy}"
            assert headers.get("cache-control") == "no-store", name
            assert headers.get("x-content-type-options") == "nosniff", name
            inline = page.locator("script:not([src]), style, [style], [onclick]").count()
            assert inline == 0, f"{name} has something inline"
    return f"{seen} pages"


@test
def cookies_are_host_only_and_hidden(box: Box, browsers: Browsers) -> str:
    """Every cookie is `__Host-`, Secure, HttpOnly, for the whole host and SameSite=Lax."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        go.buy(page, box, go.BOOKS, ["field-notes"])
        go.choose_bank(page, go.NIMBUS)
        go.pay_by_password(page, box.payer(go.NIMBUS))
        go.paid(page)
        cookies = visitor.context.cookies()
        hosts = {cookie["domain"] for cookie in cookies}
        assert len(hosts) >= 3, f"only {hosts} have set cookies"
        for cookie in cookies:
            assert cookie["name"].startswith("__Host-"), cookie["name"]
            flags = (cookie["secure"], cookie["httpOnly"], cookie["path"], cookie["sameSite"])
            assert flags == (True, True, "/", "Lax"), f"{cookie['name']}: {flags}"
        return f"{len(cookies)} cookies of {len(hosts)} hosts"


@test
def forms_of_other_sites_are_refused(box: Box, browsers: Browsers) -> None:
    """A form that another site sends to the shop, the payment page or the app is refused, and does nothing."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        order = go.buy(page, box, go.BOOKS, ["field-notes"])
        shop = order.merchant.address
        visitor.expected.append("status of 403")
        page.goto(shop + "orders")
        number = (page.get_attribute(f'[data-order="{order.id}"] h2 a', "href") or "").rsplit("/", 1)[-1]
        targets = [f"{shop}o/{number}/cancel", f"{order.payment_url}/bank", f"{box.banks[go.NIMBUS].app}/pay"]
        evil = "http://evil.localhost:1/"
        visitor.hosts.add(urlsplit(evil).netloc)
        page.route(evil, lambda route: route.fulfill(content_type="text/html", body="<!doctype html><p>evil"))
        for target in targets:
            page.goto(evil)
            with page.expect_response(lambda answer, target=target: answer.url == target) as answer:
                go.send_form(page, target)
            assert answer.value.status == 403, f"{target}: {answer.value.status}"
            page.wait_for_url(target)
        order.settled("OPEN", approvals=0)


@test
def only_the_browser_that_ordered_cancels(box: Box, browsers: Browsers) -> None:
    """Whoever has an order's address sees how it stands, and can't cancel it."""
    with browsers.visitor() as visitor, browsers.visitor() as stranger:
        page = visitor.tab()
        order = go.buy(page, box, go.DIRECT, ["tea-bowl"])
        page.goto(order.merchant.address + "orders")
        page.click(f'[data-order="{order.id}"] h2 a')
        go.on(page, "order", "open")
        other = stranger.tab()
        stranger.expected.append("status of 403")
        other.goto(page.url)
        go.on(other, "order", "open")
        assert other.locator("button.cancel").count() == 0
        go.press_old_cancel(other)
        go.on(other, "problem")
        order.settled("OPEN", approvals=0)


@test
def nothing_secret_stands_in_an_address(box: Box, browsers: Browsers) -> None:
    """No address that a browser asks for holds a password, an id of a person, a card number or a session's token."""
    with browsers.visitor() as visitor:
        page = visitor.tab()
        asked: list[str] = []
        visitor.context.on("request", lambda request: asked.append(request.url))
        customer = box.payer(go.BASALT)
        order = go.buy(page, box, go.BOOKS, ["field-notes"])
        go.choose_bank(page, go.BASALT)
        go.pay_by_password(page, customer)
        go.paid(page)
        secrets = [customer.national_id, customer.user_code, customer.password, *customer.cards.values()]
        secrets += [cookie["value"] for cookie in visitor.context.cookies() if cookie["value"]]
        found = [url for url in asked for secret in secrets if secret in url]
        assert not found, found
        order.settled("APPROVED", approvals=1)
