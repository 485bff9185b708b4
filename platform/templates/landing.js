// Posts the order that stands in the address behind the "#", which no browser sends to a server by itself.
"use strict";
(async () => {
  // Another link in the same tab changes nothing but the fragment.
  addEventListener("hashchange", () => location.reload());
  const order = location.hash.startsWith("#o=") ? location.hash.slice(3) : "";
  if (!order) {
    document.querySelector(".lost").hidden = false;
    return;
  }
  document.querySelector(".going").hidden = false;
  const form = document.querySelector("form.landing");
  form.elements.order.value = order;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams({ order }) });
    // In the place of this page, so that the way back doesn't lead through it again.
    if (answer.redirected) return location.replace(answer.url);
  } catch {
    // The button tries again.
    return;
  }
  // The server says in a page of its own what is wrong.
  form.submit();
})();
