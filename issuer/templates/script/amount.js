// An amount as all pages show it: "NT$1,299". The script writes it anew from the order's own bytes, so that what it
// signs is what stands there.

const amount = (() => {
  const SIGNS = { "TWD": "NT$", "USD": "US$", "HKD": "HK$", "JPY": "JP¥", "EUR": "€", "GBP": "£" };
  const DECIMALS = {
    "AUD": 2, "CAD": 2, "CHF": 2, "CNY": 2, "EUR": 2, "GBP": 2, "HKD": 2, "JPY": 0, "KRW": 0, "KWD": 3, "NZD": 2,
    "SEK": 2, "SGD": 2, "THB": 2, "TWD": 2, "USD": 2
  };
  return (currency, minorUnits) => {
    const decimals = Object.hasOwn(DECIMALS, currency) ? DECIMALS[currency] : undefined;
    if (decimals === undefined) throw new Error("a currency that the network doesn't know");
    const digits = String(minorUnits).padStart(decimals + 1, "0");
    const [units, fraction] = [digits.slice(0, digits.length - decimals), digits.slice(digits.length - decimals)];
    const grouped = units.replace(/\B(?=(\d{3})+$)/g, ",");
    const isWhole = fraction === "" || (currency === "TWD" && /^0+$/.test(fraction));
    return `${SIGNS[currency] ?? `${currency}\u00a0`}${grouped}${isWhole ? "" : `.${fraction}`}`;
  };
})();
