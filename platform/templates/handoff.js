// Opens the bank's app once; whoever comes back finds the button and the other ways on.
"use strict";
(() => {
  const [entry] = performance.getEntriesByType("navigation");
  if (!entry || entry.type !== "navigate") return;
  // Once the page is there, and a moment later: a browser that is led on while it still loads forgets the page, and
  // there would be no way back to it.
  const open = () => setTimeout(() => location.assign(document.querySelector("a.open-app").href), 300);
  if (document.readyState === "complete") open();
  else addEventListener("load", open);
})();
