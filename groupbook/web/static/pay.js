// A payment page of ours: the provider's fields in a frame of theirs, and one button. Nothing typed there reaches us.
// https://docs.stripe.com/js/payment_intents/confirm_payment and https://docs.stripe.com/js/setup_intents/confirm_setup
"use strict";
(() => {
  const form = document.getElementById("gb-pay");
  if (!form) return;
  const { key, account, secret, kind, back, locale, ends, lost } = form.dataset;
  for (const name of ["key", "account", "secret", "ends"]) form.removeAttribute(`data-${name}`);
  form.dataset.dirty = "1"; // no news replaces what somebody is typing
  form.hidden = false;
  const button = form.querySelector("button");
  const trouble = document.getElementById("gb-trouble");

  const tell = (text) => {
    trouble.textContent = text;
    if (text) trouble.focus();
  };
  const giveUp = () => {
    document.getElementById("gb-fields").hidden = button.hidden = true;
    tell(lost);
  };
  // It ended while the page was open: what became of it, the page itself says when it is asked again.
  const isOver = (error) => /unexpected_state$/.test(error?.code ?? "");

  if (typeof window.Stripe !== "function") return giveUp();
  const theme = document.documentElement.dataset.theme;
  const isDark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const stripe = window.Stripe(key, account ? { stripeAccount: account } : {});
  const appearance = { theme: isDark ? "night" : "stripe", variables: { borderRadius: "12px", fontSizeBase: "16px" } };
  const elements = stripe.elements({ clientSecret: secret, locale, appearance });
  const fields = elements.create("payment", { layout: "tabs" });
  fields.on("ready", () => { button.disabled = false; });
  fields.on("loaderror", ({ error }) => (isOver(error) ? location.reload() : giveUp()));
  fields.mount("#gb-fields");

  let isBusy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy || button.disabled) return;
    isBusy = true;
    button.dataset.busy = "";
    button.setAttribute("aria-disabled", "true");
    tell("");
    const confirm = kind === "save" ? stripe.confirmSetup : stripe.confirmPayment;
    // A yes leads to `back`; only what went wrong comes back here.
    const { error } = await confirm({ elements, confirmParams: { return_url: back } });
    if (isOver(error)) return location.reload();
    isBusy = false;
    delete button.dataset.busy;
    button.removeAttribute("aria-disabled");
    tell(error.message || lost);
  });

  const left = Date.parse(ends) - Date.now();
  if (left > 0 && left < 2 ** 31 - 3000) setTimeout(() => isBusy || location.reload(), left + 2000);
})();
