// This browser as a bound device: its Ed25519 keys, which no script can read out, stand in IndexedDB.

const device = (() => {
  const open = () =>
    new Promise((resolve, reject) => {
      const request = indexedDB.open("bankside", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("device");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const run = async (mode, work) => {
    const database = await open();
    try {
      const transaction = database.transaction("device", mode);
      const request = work(transaction.objectStore("device"));
      return await new Promise((resolve, reject) => {
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = transaction.onerror = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  };
  const get = (name) => run("readonly", (store) => store.get(name));
  const put = (name, value) => run("readwrite", (store) => store.put(value, name));
  const remove = (name) => run("readwrite", (store) => store.delete(name));

  // None where the browser keeps nothing, as in some private windows.
  const bound = async () => {
    const all = await run("readonly", (store) => store.getAll()).catch(() => []);
    const at = (kept) => kept.used ?? kept.since;
    return all.filter((kept) => kept.id).sort((one, other) => at(other) - at(one));
  };
  // Several people may have bound the same browser: where there is more than one key, the form asks which, with
  // the one used last on top.
  const offer = async (form) => {
    const kept = await bound();
    const which = form.querySelector(".which");
    if (!which || kept.length < 2) return;
    const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "short" });
    const name = (one) => one.name ?? say("已綁定的裝置", "Bound device");
    const option = (one) => new Option(`${name(one)} · ${format.format(new Date(one.since))}`, one.id);
    which.querySelector("select").replaceChildren(...kept.map(option));
    which.hidden = false;
  };
  // The key that a form shall use. It is the first choice from now on.
  const chosen = async (form) => {
    const kept = await bound();
    const which = form.querySelector(".which:not([hidden]) select");
    const found = which ? kept.find((one) => one.id === which.value) : kept[0];
    if (found) await put(found.id, { ...found, used: Date.now() });
    return found;
  };
  // A key that waits to be bound. The same one is offered again until the bank has answered, so that a lost answer
  // leaves no second device behind.
  const fresh = async () => {
    try {
      const waiting = await get("waiting");
      if (waiting) return waiting.pair;
      const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
      await put("waiting", { pair });
      return pair;
    } catch {
      throw new Problem(
        say("此瀏覽器無法保存裝置金鑰，請改用較新的瀏覽器，並避免使用無痕視窗。", "This browser can't keep a device's key. Use a newer one, and no private window."),
      );
    }
  };
  const keep = async (id, pair, name) => {
    await put(id, { id, pair, name, since: Date.now() });
    await remove("waiting");
  };
  // A name that no other key in this browser has.
  const freeName = async (name) => {
    const taken = (await bound()).map((kept) => kept.name);
    let [free, number] = [name, 1];
    while (taken.includes(free)) free = `${name} ${(number += 1)}`;
    return free;
  };
  // A key that was removed at the bank is worth nothing; it goes once the bank no longer lists it.
  const leave = async (id) => {
    const kept = await get(id);
    if (kept) await put(id, { ...kept, leaving: true });
  };
  const sign = async (pair, message) =>
    bytes.toBase64url(await crypto.subtle.sign("Ed25519", pair.privateKey, message));
  const publicKey = async (pair) => bytes.toBase64url(await crypto.subtle.exportKey("raw", pair.publicKey));

  // The demonstration sensor: one made-up face for this browser, measured with fresh noise each time. It measures
  // nobody. Big-endian 32-bit floats, as the contracts have them.
  const measure = async (count) => {
    const random = () => Float64Array.from({ length: count }, () => {
      const uniform = crypto.getRandomValues(new Uint32Array(4));
      return uniform.reduce((sum, value) => sum + value / 4294967296 - 0.5, 0);
    });
    const unit = (vector) => {
      const length = Math.hypot(...vector);
      return vector.map((value) => value / length);
    };
    let face = (await get("demonstration"))?.face;
    if (!face || face.length !== count) {
      face = unit(random());
      await put("demonstration", { face });
    }
    const noise = unit(random());
    const measured = unit(face.map((value, place) => value + 0.2 * noise[place]));
    const out = new DataView(new ArrayBuffer(count * 4));
    measured.forEach((value, place) => out.setFloat32(place * 4, value, false));
    return new Uint8Array(out.buffer);
  };

  return { get, bound, offer, chosen, fresh, freeName, keep, leave, forget: remove, sign, publicKey, measure };
})();
