/* groupbook for your page.

     <script async src="https://embed.example/v1.js" data-merchant="your-slug"></script>
     <div data-groupbook="inline" data-offer="…" data-occasion="…" data-locale="fr"></div>
     <button data-groupbook="modal" data-offer="…">Plan with friends</button>
     <script>
       window.groupbook = window.groupbook || function () { (groupbook.q = groupbook.q || []).push(arguments) };
       groupbook("floating", { offer: "…", position: "bottom-right", label: "Plan with friends" });
       groupbook("on", "booking.captured", function (event) { … });
     </script>

   Commands: inline, modal, floating, update, close, on, off, destroy, preload. The only global is window.groupbook, and
   nothing here throws on your page. Events carry ids only; your truth is the signed webhook. */
(function () {
  "use strict";
  var script = document.currentScript;
  var before = window.groupbook;
  if (before && before.version) return; // loaded twice
  var origin = new URL(script ? script.src : location.href).origin;
  var own = (script && script.dataset) || {};
  var defaults = { merchant: own.merchant || "", locale: own.locale || "", theme: own.theme || "auto" };
  var frames = []; // every live frame: { options, iframe, inst, port, box }
  var heard = {};
  var modal = null; // the one that is open
  var modals = {}; // all of them by what they show: a closed one is hidden, and its frame lives on

  function warn(text) {
    if (window.console) console.warn("groupbook: " + text);
  }

  function nonce() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), function (b) {
      return b.toString(16).padStart(2, "0");
    }).join("");
  }

  function address(options, inst) {
    var query = new URLSearchParams();
    ["offer", "occasion", "trip", "invite", "share"].forEach(function (name) {
      if (options[name]) query.set(name, options[name]);
    });
    if (options.locale) query.set("lang", options.locale);
    if (options.theme === "light" || options.theme === "dark") query.set("theme", options.theme);
    var fragment = new URLSearchParams({ inst: inst, parent: location.origin });
    return origin + "/e/" + encodeURIComponent(options.merchant) + "?" + query + "#" + fragment;
  }

  function open(box, options) {
    var all = Object.assign({}, defaults, options);
    if (!all.merchant) return warn("say data-merchant on the script or in the options"), null;
    var frame = { options: all, inst: nonce(), port: null, box: box };
    var iframe = document.createElement("iframe");
    iframe.title = all.title || "groupbook";
    iframe.allow = "identity-credentials-get; payment *; clipboard-write; web-share";
    iframe.style.cssText = "display:block;width:100%;border:0;min-height:20rem;color-scheme:normal;background:transparent";
    iframe.src = address(all, frame.inst);
    frame.iframe = iframe;
    frames.push(frame);
    box.appendChild(iframe);
    return frame;
  }

  /* The frame's first word hands over a port; from then on only that port is heard. */
  window.addEventListener("message", function (event) {
    var data = event.data;
    if (event.origin !== origin || !data || data.gb !== 1 || data.type !== "ready" || !event.ports[0]) return;
    var frame = frames.find(function (one) {
      return one.iframe.contentWindow === event.source && one.inst === data.inst;
    });
    if (!frame) return;
    frame.port = event.ports[0];
    frame.port.onmessage = function (message) {
      hear(frame, message.data);
    };
    emit("ready", {}, frame);
  });

  function hear(frame, data) {
    if (!data || data.gb !== 1 || data.inst !== frame.inst) return;
    var payload = data.payload || {};
    if (data.type === "size") {
      var height = Number(payload.h);
      if (height > 0 && height <= 20000 && !frame.isModal) frame.iframe.style.height = Math.ceil(height) + "px";
    } else if (data.type === "escape") {
      if (frame.isModal) close();
    } else emit(data.type, payload, frame);
  }

  function emit(type, payload, frame) {
    (heard[type] || []).concat(heard["*"] || []).forEach(function (listener) {
      try {
        listener({ type: type, payload: payload, element: frame.box });
      } catch (error) {
        warn("a listener of " + type + " failed: " + error);
      }
    });
  }

  function tell(frame, type, payload) {
    if (frame.port) frame.port.postMessage({ gb: 1, id: nonce(), inst: frame.inst, type: type, payload: payload });
  }

  var STYLE =
    "dialog{border:0;padding:0;width:min(30rem,100vw);height:min(48rem,100dvh);max-width:none;max-height:none;border-radius:1.25rem;overflow:hidden;" +
    "box-shadow:0 10px 60px #1d0b2966;background:#f8f5fa;color-scheme:light dark}@media(prefers-color-scheme:dark){dialog{background:#16101c}}" +
    "@media(max-width:32rem){dialog{width:100vw;height:100dvh;border-radius:0;margin:0}}dialog::backdrop{background:#1d0b29a6}" +
    "dialog[open]{display:grid;grid-template-rows:auto minmax(0,1fr)}dialog>div{min-height:0}" +
    "dialog button{justify-self:end;width:2.75rem;height:2.75rem;margin:.125rem .25rem;border:0;border-radius:50%;background:transparent;color:light-dark(#251a2f,#f6f0fa);font:700 1.5rem/1 system-ui;cursor:pointer}" +
    ".float{position:fixed;z-index:2147483000;bottom:1rem;min-height:3rem;padding:.6rem 1.3rem;border:0;border-radius:99px;background:#b3174f;color:#fff;font:650 1rem/1.2 system-ui,sans-serif;box-shadow:0 4px 20px #1d0b2955;cursor:pointer}" +
    ".float:focus-visible,dialog button:focus-visible{outline:3px solid #ffb647;outline-offset:2px}.right{inset-inline-end:1rem}.left{inset-inline-start:1rem}";

  function shadow() {
    var host = document.createElement("div");
    var root = host.attachShadow({ mode: "open" });
    var style = document.createElement("style");
    style.textContent = STYLE;
    root.appendChild(style);
    document.body.appendChild(host);
    return { host: host, root: root };
  }

  function openModal(options) {
    close();
    var all = Object.assign({}, defaults, options);
    var what = JSON.stringify(["merchant", "offer", "occasion", "trip", "invite", "share"].map(function (name) { return all[name] || ""; }));
    var kept = modals[what] || makeModal(options);
    if (!kept) return;
    modals[what] = modal = kept;
    kept.back = document.activeElement;
    kept.dialog.showModal();
  }

  function makeModal(options) {
    var made = shadow();
    var dialog = document.createElement("dialog"); // modal: the browser traps focus and hears Escape
    var shut = document.createElement("button");
    var box = document.createElement("div");
    shut.type = "button";
    shut.textContent = "×";
    shut.setAttribute("aria-label", options.closeLabel || "Close");
    shut.onclick = close;
    dialog.setAttribute("aria-label", options.title || "groupbook");
    dialog.append(shut, box);
    made.root.appendChild(dialog);
    var frame = open(box, options);
    if (!frame) return made.host.remove(), null;
    var one = { frame: frame, dialog: dialog, host: made.host, back: null };
    frame.isModal = true;
    frame.iframe.style.height = "100%";
    dialog.addEventListener("close", function () {
      if (modal === one) modal = null;
      if (one.back && one.back.focus) one.back.focus();
      emit("closed", {}, frame);
    });
    return one;
  }

  function close() {
    if (modal) modal.dialog.close();
  }

  function drop(frame) {
    if (frame.port) frame.port.close();
    frame.iframe.remove();
    frames = frames.filter(function (one) {
      return one !== frame;
    });
  }

  var floating = null;
  var commands = {
    inline: function (options) {
      var box = typeof options.element === "string" ? document.querySelector(options.element) : options.element;
      if (!box) return warn("inline: no such element");
      frames.filter(function (one) { return one.box === box; }).forEach(drop);
      open(box, options);
    },
    modal: openModal,
    floating: function (options) {
      if (floating) floating.remove();
      var made = shadow();
      var button = document.createElement("button");
      button.type = "button";
      button.className = "float " + (options.position === "bottom-left" ? "left" : "right");
      button.textContent = options.label || "Plan with friends";
      button.onclick = function () { openModal(options); };
      made.root.appendChild(button);
      floating = made.host;
    },
    update: function (options) {
      Object.assign(defaults, options);
      if (options.theme) frames.forEach(function (frame) { tell(frame, "theme", { scheme: options.theme }); });
    },
    close: close,
    on: function (type, listener) { (heard[type] = heard[type] || []).push(listener); },
    off: function (type, listener) { heard[type] = (heard[type] || []).filter(function (one) { return one !== listener; }); },
    destroy: function () {
      close();
      Object.keys(modals).forEach(function (what) { modals[what].host.remove(); });
      modals = {};
      frames.slice().forEach(drop);
      if (floating) floating.remove();
      floating = null;
      heard = {};
    },
    preload: function () {
      var link = document.createElement("link");
      link.rel = "preconnect";
      link.href = origin;
      document.head.appendChild(link);
    },
  };

  function run(args) {
    var name = args[0];
    if (!Object.prototype.hasOwnProperty.call(commands, name)) return warn("no such command: " + name);
    try {
      commands[name](args[1] || {}, args[2]);
    } catch (error) {
      warn(name + " failed: " + error);
    }
  }

  function groupbook() {
    run(arguments);
  }
  groupbook.version = "1";
  window.groupbook = groupbook;

  function optionsOf(element) {
    var all = {};
    ["merchant", "offer", "occasion", "trip", "invite", "share", "locale", "theme", "title"].forEach(function (name) {
      if (element.dataset[name]) all[name] = element.dataset[name];
    });
    return all;
  }

  function start() {
    document.querySelectorAll('[data-groupbook="inline"]').forEach(function (element) {
      if (!element.querySelector("iframe")) run(["inline", Object.assign(optionsOf(element), { element: element })]);
    });
    document.addEventListener("click", function (event) {
      var button = event.target.closest && event.target.closest('[data-groupbook="modal"]');
      if (button) event.preventDefault(), run(["modal", optionsOf(button)]);
    });
    document.querySelectorAll('[data-groupbook="floating"]').forEach(function (element) {
      run(["floating", Object.assign(optionsOf(element), { label: element.textContent.trim(), position: element.dataset.position })]);
    });
    ((before && before.q) || []).forEach(run);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
