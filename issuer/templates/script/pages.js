// What each page does.

const pages = (() => {
  // The fragment of an app link reaches no server by itself. It is taken out of the address, so that it stays in no
  // history.
  const landing = (place) => {
    const bring = () => {
      const fragment = location.hash;
      if (!/^#[ocd]=./.test(fragment)) {
        place.querySelector(".waiting").hidden = true;
        place.querySelector(".nothing").hidden = false;
        return;
      }
      place.querySelector(".waiting").hidden = false;
      history.replaceState(null, "", location.pathname);
      const form = place.querySelector("form");
      form.elements.link.value = fragment;
      form.submit();
    };
    addEventListener("hashchange", bring);
    bring();
  };

  // The page is loaded anew when the charge has changed; while the connection is lost, now and then.
  const follow = (place) => {
    const state = document.body.dataset.state;
    const source = new EventSource(place.dataset.events);
    const again = async () => {
      source.close();
      try {
        await fetch(location.href, { method: "HEAD", credentials: "same-origin" });
        location.reload();
      } catch {
        setTimeout(again, 3000);
      }
    };
    source.addEventListener("state", (event) => event.data !== state && again());
    source.addEventListener("error", () => setTimeout(again, 5000));
    addEventListener("pagehide", () => source.close());
  };

  const scan = (place) => {
    if (!("BarcodeDetector" in window) || !navigator.mediaDevices) return;
    place.hidden = false;
    const [button, video] = [place.querySelector("button"), place.querySelector("video")];
    button.addEventListener("click", async () => {
      try {
        const detector = new BarcodeDetector({ formats: ["qr_code"] });
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        video.hidden = false;
        button.hidden = true;
        await video.play();
        const look = async () => {
          const found = (await detector.detect(video)).find((code) => code.rawValue.includes("#o="));
          if (!found) return requestAnimationFrame(() => look().catch(show));
          video.srcObject.getTracks().forEach((track) => track.stop());
          const form = document.querySelector("form[action='/pay']");
          form.elements.link.value = found.rawValue;
          return form.submit();
        };
        await look();
      } catch {
        show(new Problem(say("無法使用相機，請改為貼上付款連結。", "The camera can't be used. Paste the payment link instead.")));
      }
    });
  };

  // A form without a script of its own is sent once, however often its button is pressed in a hurry.
  const once = (form) =>
    form.addEventListener("submit", (event) => {
      if (Date.now() - Number(form.dataset.sent ?? 0) < 5000) event.preventDefault();
      else form.dataset.sent = Date.now();
    });

  const times = () => {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
    }
  };

  const start = () => {
    times();
    const on = (selector, work) => document.querySelectorAll(selector).forEach((place) => {
      Promise.resolve(work(place)).catch(show);
    });
    on("form:not([data-proof]):not(.consent):not(.bind):not(.enroll):not(.register)", once);
    on("form[data-proof=knowledge]", once);
    on(".landing", landing);
    on(".proofs", proofs.start);
    on("form.consent", consent.start);
    on(".registered", credentials.start);
    on("body[data-page=activate] form.bind", (form) => credentials.bind(form));
    on("[data-events]", follow);
    on(".scan", scan);
  };
  return { start };
})();

pages.start();
// A page that comes back out of the browser's memory is as old as it looks.
addEventListener("pageshow", (event) => event.persisted && location.reload());
