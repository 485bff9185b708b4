// Follows the order that the page shows, and counts its time down. Without this script the page reloads itself.
"use strict";
(() => {
  const body = document.body;
  if (!body.dataset.events) return;
  // How long to wait before another try where the server can't be reached, in milliseconds.
  // Not all browsers at once.
  const AGAIN = 4000 + Math.random() * 2000;
  let source;
  let loading = false;
  // Whether there was news while the page was on its way, which it may not show yet.
  let outdated = false;
  let started = performance.now();

  // Looks at the page in a while, however many things went wrong until then.
  let timer;
  function later() {
    clearTimeout(timer);
    timer = setTimeout(reload, AGAIN);
  }

  // Puts the page as the server has it now in the place of this one.
  async function reload() {
    if (loading) {
      outdated = true;
      return;
    }
    loading = true;
    outdated = false;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      later();
      return;
    } finally {
      loading = false;
    }
    if (outdated) reload();
    else follow();
  }

  function show(next) {
    const [old, main] = [document.querySelector("main"), next.querySelector("main")];
    if (next.body.dataset.page !== body.dataset.page || !main) {
      // Something else is wrong, which the server says in its own words, in its own time.
      throw new Error("the order is not shown");
    }
    const hadFocus = old.contains(document.activeElement);
    const isNews = next.body.dataset.version !== body.dataset.version;
    old.replaceWith(document.adoptNode(main));
    for (const key of Object.keys(body.dataset)) delete body.dataset[key];
    Object.assign(body.dataset, next.body.dataset);
    document.title = next.title;
    started = performance.now();
    const heading = main.querySelector("h1");
    if (isNews) document.getElementById("news").textContent = heading.textContent;
    if (hadFocus) heading.focus();
  }

  function follow() {
    const wanted = body.dataset.events && !document.hidden;
    if (!wanted && source) {
      source.close();
      source = undefined;
    }
    if (!wanted || source) return;
    source = new EventSource(body.dataset.events);
    source.addEventListener("state", (event) => {
      if (event.data !== body.dataset.version) reload();
    });
    source.addEventListener("error", () => {
      // A lost connection is opened again by the browser; a refusal is not, and the page is looked at until then.
      if (source && source.readyState === EventSource.CLOSED) {
        source = undefined;
        later();
      }
    });
  }

  function tick() {
    const time = document.querySelector("time.countdown");
    if (!time) return;
    const left = Math.max(0, Math.ceil(time.dataset.left - (performance.now() - started) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(left / 3600);
    const text = `${hours ? `${hours}:` : ""}${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    if (time.textContent !== text) time.textContent = text;
    time.classList.toggle("short", left < 60);
  }

  setInterval(tick, 500);
  tick();
  follow();
  document.addEventListener("visibilitychange", () => {
    // A device that slept has counted nothing meanwhile.
    if (!document.hidden && body.dataset.events) reload();
    else follow();
  });
  // Back from the bank's app: the browser may show the page as it was left.
  addEventListener("pageshow", (event) => {
    if (event.persisted) reload();
  });
})();
