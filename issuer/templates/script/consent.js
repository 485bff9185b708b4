// The consent to a payment, built from the order's own bytes. Nothing is signed unless the page shows exactly what
// they say: shop, domain, amount, recipient, and the amount on the button once more.

const consent = (() => {
  const differs = () =>
    new Problem(say("畫面與訂單不符，沒有簽署任何內容。請回到商店重新開始。", "The page does not agree with the order. Nothing was signed. Start again from the shop."));

  // What the page shows in this place: one element, which can be seen.
  const shown = (selector) => {
    const found = [...document.querySelectorAll(selector)];
    if (found.length === 0) return "";
    if (found.length > 1 || found[0].getClientRects().length === 0) throw differs();
    return found[0].textContent;
  };

  const read = (order) => {
    const text = (part) => new TextDecoder("utf-8", { fatal: true }).decode(part ?? new Uint8Array(0));
    const fields = protobuf.read(order);
    const merchant = protobuf.read(fields.get(3));
    const money = protobuf.read(fields.get(4));
    return {
      payee: text(merchant.get(2)),
      domain: text(merchant.get(3)),
      currency: text(money.get(1)),
      minorUnits: money.get(2) ?? 0n,
      recipient: text(fields.get(10)),
    };
  };

  const agrees = (order, form) => {
    const money = amount(order.currency, order.minorUnits);
    return (
      shown("[data-shop]") === order.payee &&
      shown("[data-domain]") === order.domain &&
      shown("[data-shown]") === money &&
      shown("[data-recipient]") === order.recipient &&
      form.querySelector("button.confirm").textContent.endsWith(` ${money}`)
    );
  };

  const body = async (form) => {
    const bytesOfOrder = bytes.fromBase64url(form.dataset.order);
    const order = read(bytesOfOrder);
    const cards = document.querySelectorAll("[data-card]");
    const challenge = bytes.fromBase64url(form.dataset.challenge);
    if (!agrees(order, form) || cards.length !== 1 || challenge.length !== 32) throw differs();
    const now = Date.now();
    const money = bytes.concat(protobuf.textField(1, order.currency), protobuf.numberField(2, order.minorUnits));
    const at = bytes.concat(
      protobuf.numberField(1, Math.floor(now / 1000)), protobuf.numberField(2, (now % 1000) * 1000000),
    );
    return bytes.concat(
      protobuf.bytesField(1, await bytes.sha256(bytesOfOrder)),
      protobuf.bytesField(2, money),
      protobuf.textField(3, order.payee),
      protobuf.textField(4, cards[0].dataset.card),
      protobuf.textField(5, form.dataset.charge),
      protobuf.bytesField(6, challenge),
      protobuf.bytesField(7, at),
    );
  };

  const start = async (form) => {
    const owes = form.dataset.owesConsent !== undefined;
    if (owes && !form.dataset.device) await device.offer(form);
    take(form, async () => {
      if (form.dataset.device || owes) {
        const named = form.dataset.device ? await device.get(form.dataset.device) : await device.chosen(form);
        if (!named) {
          throw new Problem(
            say("這筆付款需要已綁定裝置的簽章，而金鑰不在此瀏覽器中。", "This payment needs the signature of a bound device, whose key is not in this browser."),
          );
        }
        const signedBody = await body(form);
        form.elements.device_id.value = named.id;
        form.elements.consent.value = bytes.toBase64url(signedBody);
        form.elements.signature.value = await device.sign(named.pair, bytes.signed("Consent", signedBody));
      }
      form.submit();
      await gone();
    });
  };
  return { start };
})();
