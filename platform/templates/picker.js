// Filters the banks while their name is typed. Without this script the server searches.
"use strict";
(() => {
  const input = document.querySelector("input[type=search]");
  // What the server has filtered already can't be widened here.
  if (!input || input.value) return;
  const banks = [...document.querySelectorAll(".banks li")];
  const none = document.querySelector(".none");
  input.form.querySelector("button").hidden = true;
  input.form.addEventListener("submit", (event) => {
    event.preventDefault();
    // Enter picks the only bank that is left.
    const left = banks.filter((bank) => !bank.hidden);
    if (left.length === 1) left[0].querySelector("button").focus();
  });
  input.addEventListener("input", () => {
    const text = input.value.trim().toLowerCase();
    for (const bank of banks) {
      const names = `${bank.textContent} ${bank.querySelector("button").value}`;
      bank.hidden = !names.toLowerCase().includes(text);
    }
    none.hidden = banks.some((bank) => !bank.hidden);
  });
})();
