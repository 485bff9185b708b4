// Shows an order's page again when the shop has heard of it. Without this script the page reloads itself.
"use strict";
const { events, heard } = document.body.dataset;
const source = new EventSource(events);
source.addEventListener("message", (news) => {
  if (news.data !== heard) {
    source.close();
    location.reload();
  }
});
addEventListener("pagehide", () => source.close());
