"use strict";
// Bytes, what is written over them, and the few protobuf fields that this app reads and writes.

const say = (zhTw, en) => (document.documentElement.lang === "en" ? en : zhTw);

const bytes = (() => {
  const concat = (...parts) => {
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const text = (string) => new TextEncoder().encode(string);
  const toBase64url = (array) => {
    const binary = Array.from(new Uint8Array(array), (byte) => String.fromCharCode(byte)).join("");
    return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  };
  // Takes base64 too.
  const fromBase64url = (string) =>
    Uint8Array.from(atob(string.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  const sha256 = async (array) => new Uint8Array(await crypto.subtle.digest("SHA-256", array));
  // What every device's signature is over: the purpose, a zero byte, and what it stands for.
  const signed = (name, ...parts) => concat(text(`bankside.v1/${name}`), new Uint8Array(1), ...parts);
  return { concat, text, toBase64url, fromBase64url, sha256, signed };
})();

const protobuf = (() => {
  const varint = (value) => {
    const out = [];
    for (let rest = BigInt(value); ; rest >>= 7n) {
      if (rest < 128n) return Uint8Array.from([...out, Number(rest)]);
      out.push(Number(rest & 127n) | 128);
    }
  };
  const bytesField = (number, value) => bytes.concat(varint((number << 3) | 2), varint(value.length), value);
  const textField = (number, value) => bytesField(number, bytes.text(value));
  // Zero is left out, as proto3 does.
  const numberField = (number, value) =>
    BigInt(value) === 0n ? new Uint8Array(0) : bytes.concat(varint(number << 3), varint(value));

  // The fields of a message, by number. One that comes twice is none of ours: readers differ in what it means.
  const read = (message) => {
    const fields = new Map();
    let at = 0;
    const number = () => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = message[at++];
        if (byte === undefined || shift > 63n) throw new Error("not a message");
        value |= BigInt(byte & 127) << shift;
        if (byte < 128) return value;
      }
    };
    while (at < message.length) {
      const tag = Number(number());
      if (fields.has(tag >> 3)) throw new Error("a field comes twice");
      if ((tag & 7) === 0) fields.set(tag >> 3, number());
      else if ((tag & 7) === 2) {
        const length = Number(number());
        if (at + length > message.length) throw new Error("not a message");
        fields.set(tag >> 3, message.subarray(at, at + length));
        at += length;
      } else throw new Error("a field of another form");
    }
    return fields;
  };
  return { bytesField, textField, numberField, read };
})();

// Posts a form's fields to this server. What it answers is where to go on, or what is wrong.
const post = async (address, fields) => {
  const response = await fetch(address, { method: "POST", body: new URLSearchParams(fields), credentials: "same-origin" });
  const answer = await response.json();
  if (response.ok && !answer.first) return answer;
  if (answer.next) {
    location.assign(answer.next);
    await gone();
    throw new Error("the way did not go on");
  }
  const problem = new Problem(`${answer.problem}${say("：", ". ")}${answer.hint}`);
  problem.refused = response.status < 500;
  throw problem;
};

// Something that the customer can read.
class Problem extends Error {}

const show = (error) => {
  const banner = document.getElementById("problem");
  banner.textContent =
    error instanceof Problem
      ? error.message
      : say("無法完成，請再試一次。沒有任何扣款。", "That did not work. Please try again. Nothing was charged.");
  banner.hidden = false;
  banner.scrollIntoView({ block: "nearest" });
};

// While a page goes on to the next. Whoever is still here afterwards, because the connection was lost, may try again:
// what is sent twice is done once.
const gone = () => new Promise((resolve) => setTimeout(resolve, 5000));

// Has a script send a form in the browser's place, one at a time.
const take = (form, work) =>
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.dataset.busy) return;
    form.dataset.busy = "yes";
    document.getElementById("problem").hidden = true;
    const button = form.querySelector("button");
    button.setAttribute("aria-busy", "true");
    try {
      await work(form);
    } catch (error) {
      show(error);
    }
    button.removeAttribute("aria-busy");
    delete form.dataset.busy;
  });
