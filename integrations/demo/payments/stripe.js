// A stand-in for Stripe.js (https://docs.stripe.com/js), as far as a Payment Element on an intent's client secret goes.
// It takes the parameters that the documentation names and refuses every other, as Stripe.js does (IntegrationError).
(() => {
  "use strict";
  const here = new URL(document.currentScript.src).origin;

  const integration = text => Object.assign(new Error(text), { name: "IntegrationError" });
  const only = (what, given, names) => {
    if (given === null || typeof given !== "object") throw integration(`${what}: an object is expected.`);
    for (const name of Object.keys(given)) if (!names.includes(name)) throw integration(`${what}: unrecognized parameter "${name}".`);
    return given;
  };
  const isSetup = secret => secret.startsWith("seti_");

  /* A frame of our origin, and what it says; everything else that is posted to the page is not for us. */
  const frameOf = (path, query, secrets, hear) => {
    const frame = document.createElement("iframe");
    const listen = event => {
      if (event.origin === here && event.source === frame.contentWindow) hear(event.data);
    };
    addEventListener("message", listen);
    // What is secret stands behind the #, which no server is sent.
    frame.src = `${here}${path}?${new URLSearchParams(query)}#${new URLSearchParams(secrets)}`;
    frame.style.border = "0";
    frame.style.width = "100%";
    frame.style.colorScheme = query.theme === "night" ? "dark" : "light"; // as inside, or it is not transparent
    return { frame, post: message => frame.contentWindow.postMessage(message, here), end: () => { removeEventListener("message", listen); frame.remove(); } };
  };

  // https://docs.stripe.com/js/element/events
  class PaymentElement {
    constructor(context) { this._context = context; this._hearers = {}; this._waits = null; }
    on(event, handler) {
      if (!["ready", "change", "loaderror", "focus", "blur", "escape", "loaderstart"].includes(event)) throw integration(`on: "${event}" is no event of this element.`);
      (this._hearers[event] ??= []).push(handler);
      return this;
    }
    // https://docs.stripe.com/js/element/mount
    mount(place) {
      const node = typeof place === "string" ? document.querySelector(place) : place;
      if (!node) throw integration(`mount: nothing matches ${place}.`);
      const { secrets, locale, theme } = this._context;
      this._frame = frameOf("/v3/element", { locale, theme }, secrets, message => this._hear(message));
      this._frame.frame.title = "Secure payment input frame";
      this._frame.frame.style.height = "0";
      node.replaceChildren(this._frame.frame);
    }
    unmount() { this._frame?.end(); this._frame = null; }
    destroy() { this.unmount(); }
    _hear(message) {
      if (message.type === "height") this._frame.frame.style.height = `${message.height}px`;
      else if (message.type === "confirmed") this._waits?.(message.answer);
      else for (const hearer of this._hearers[message.type] ?? []) hearer({ elementType: "payment", ...message.event });
    }
    _confirm() {
      if (!this._frame) throw integration("The Payment Element is not mounted.");
      return new Promise(resolve => { this._waits = resolve; this._frame.post({ type: "confirm" }); });
    }
  }

  /* The bank's question (3-D Secure), in a frame over the page: https://docs.stripe.com/payments/3d-secure */
  const ask = (context, asks) => new Promise(resolve => {
    const shade = document.createElement("div");
    Object.assign(shade.style, { position: "fixed", inset: "0", zIndex: "2147483647", background: "rgba(0,0,0,.5)", display: "grid", placeItems: "center", padding: "16px" });
    const { frame, end } = frameOf("/v3/challenge", { locale: context.locale, theme: context.theme }, { ...context.secrets, asks }, message => {
      if (message.type !== "answered") return;
      end();
      shade.remove();
      resolve(message.answer);
    });
    frame.title = "3-D Secure";
    Object.assign(frame.style, { maxWidth: "26rem", height: "19rem", borderRadius: "12px", background: "#fff" });
    shade.append(frame);
    document.body.append(shade);
    frame.focus();
  });

  const complete = async (verb, options, ofSetup) => {
    const { elements, confirmParams = {}, redirect = "always" } = only(verb, options, ["elements", "clientSecret", "confirmParams", "redirect"]);
    only(`${verb}: confirmParams`, confirmParams, ["return_url", "payment_method_data", "expand"]);
    if (!(elements instanceof Elements)) throw integration(`${verb}: elements is missing.`);
    if (!["always", "if_required"].includes(redirect)) throw integration(`${verb}: redirect is "always" or "if_required".`);
    if (redirect === "always" && !confirmParams.return_url) throw integration(`${verb}: confirmParams.return_url is required.`);
    const context = elements._context, secret = context.secrets.client_secret;
    if (isSetup(secret) !== ofSetup) throw integration(`${verb}: this client secret is of another kind of intent.`);
    if (!elements._payment) throw integration(`${verb}: there is no Payment Element.`);
    let answer = await elements._payment._confirm();
    if (answer.intent?.status === "requires_action") answer = await ask(context, answer.asks);
    if (answer.error) return { error: answer.error };
    const kind = ofSetup ? "setup_intent" : "payment_intent";
    if (redirect === "if_required") return { [ofSetup ? "setupIntent" : "paymentIntent"]: answer.intent };
    // https://docs.stripe.com/payments/accept-a-payment: the page it leads to is told the intent, and how it went
    const back = new URL(confirmParams.return_url);
    back.searchParams.set(kind, answer.intent.id);
    back.searchParams.set(`${kind}_client_secret`, secret);
    back.searchParams.set("redirect_status", "succeeded");
    location.assign(back);
    return new Promise(() => {});
  };

  // https://docs.stripe.com/js/elements_object/create
  class Elements {
    constructor(context) { this._context = context; this._payment = null; }
    create(type, options = {}) {
      if (type !== "payment") throw integration(`create: the sandbox knows no "${type}" element.`);
      only("create", options, ["layout", "defaultValues", "business", "paymentMethodOrder", "fields", "readOnly", "terms", "wallets"]);
      if (this._payment) throw integration("Can only create one Element of type payment.");
      this._payment = new PaymentElement(this._context);
      return this._payment;
    }
    getElement(type) { return type === "payment" ? this._payment : null; }
  }

  // https://docs.stripe.com/js/initializing
  window.Stripe = (key, options = {}) => {
    if (typeof key !== "string" || !key.startsWith("pk_")) throw integration("You should provide a publishable key, and never a secret one.");
    only("Stripe", options, ["apiVersion", "locale", "stripeAccount", "betas", "developerTools"]);
    return {
      elements(given) {
        const { clientSecret, locale, appearance = {} } = only("elements", given, ["clientSecret", "locale", "appearance", "fonts", "loader"]);
        if (!/^(pi|seti)_\w+_secret_\w+$/.test(clientSecret ?? "")) throw integration("elements: clientSecret is not a client secret.");
        only("appearance", appearance, ["theme", "variables", "rules", "labels", "inputs", "disableAnimations"]);
        const secrets = { key, client_secret: clientSecret };
        if (options.stripeAccount) secrets.account = options.stripeAccount;
        return new Elements({ secrets, locale: locale ?? options.locale ?? "en", theme: appearance.theme ?? "stripe" });
      },
      confirmPayment: given => complete("confirmPayment", given, false),
      confirmSetup: given => complete("confirmSetup", given, true),
    };
  };
})();
