/* groupbook in the browser. Pages are complete without it; with it, acts and news are morphed into the open page.

   At top level the session is a cookie. In a frame it is a bearer that lives in this closure only: never in a cookie, a
   store or an address. Every request says `GB-Fetch: 1`; the server then answers with a page to morph, or with one of
   these headers: GB-Go (load this page), GB-Open (open this address at top level), GB-Bearer (a session for this frame). */
(() => {
  "use strict";
  const root = document.documentElement;
  const framed = root.classList.contains("gb-framed");
  const words = document.getElementById("gb-words").dataset;
  const frame = document.body.dataset;
  const $ = (id) => document.getElementById(id);
  const main = () => $("main");
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

  let bearer = null;
  let here = location.pathname + location.search;
  let acting = 0; // requests that change something, in flight
  let holding = false; // a finger is down: nothing may move under it

  /* ---------- requests ---------- */

  async function ask(url, { method = "GET", body = null, headers = {}, ...more } = {}) {
    const all = { Accept: "text/html", "Accept-Language": root.lang, "GB-Fetch": "1", ...headers };
    if (framed) all["GB-Framed"] = "1";
    if (bearer) all.Authorization = "Bearer " + bearer;
    const answer = await fetch(url, { method, body, headers: all, credentials: framed ? "omit" : "same-origin", ...more });
    const token = answer.headers.get("GB-Bearer");
    if (token) bearer = token;
    return answer;
  }

  const askJson = (url, document) =>
    ask(url, { method: "POST", body: JSON.stringify(document), headers: { Accept: "application/json", "Content-Type": "application/json" } });

  async function show(answer, { move = false } = {}) {
    const go = answer.headers.get("GB-Go");
    if (go) return load(go);
    if (!(answer.headers.get("Content-Type") || "").startsWith("text/html")) {
      if (!answer.ok) toast(answer.status === 401 ? words.expired : words.failed, { bad: true });
      return answer.ok;
    }
    const arrived = new URL(answer.url);
    const path = arrived.pathname + arrived.search;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const stood = here.split("?")[0];
    const isRefused = !answer.ok && arrived.pathname.startsWith(stood + "/"); // an act's own address; one still stands here
    const isElsewhere = move || !(arrived.pathname === stood || isRefused);
    if (isElsewhere && !framed && answer.redirected) history.pushState(null, "", path);
    if (isElsewhere && answer.ok) here = path;
    for (const notice of document.querySelectorAll("[data-notice]")) notice.dataset.seen = -noticeMs; // another act is told
    swap(page, isElsewhere);
    return answer.ok;
  }

  async function load(url) {
    try {
      return await show(await ask(url), { move: true });
    } catch {
      toast(words.offline, { bad: true });
      return false;
    }
  }

  /* ---------- putting a page in place ---------- */

  function swap(page, isElsewhere) {
    const next = page.getElementById("main");
    if (!next) return;
    let had = false; // what has focus may go with the old page; then focus stays in the new one
    document.title = page.title;
    if (isElsewhere) {
      main().replaceWith(document.adoptNode(next));
      scrollTo(0, 0);
      main().focus({ preventScroll: true });
    } else {
      const before = tallies();
      had = main().contains(document.activeElement);
      // Idiomorph leaves the active element's inside alone: right for a field, wrong for the whole page that has focus.
      const ignoreActiveValue = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName);
      Idiomorph.morph(main(), next, { ignoreActiveValue, restoreFocus: true, callbacks: { beforeNodeMorphed: mayMorph, beforeNodeRemoved: mayGo } });
      flash(before);
    }
    settle();
    if (had && !main().contains(document.activeElement)) main().focus({ preventScroll: true });
  }

  function mayMorph(old, fresh) {
    if (old.nodeName === "FORM" && old.dataset.dirty) return false; // somebody is typing in it
    if (old.nodeName === "DETAILS") fresh.open = old.open;
    return true;
  }

  /* News of the others must not wipe away what one has just been told. */
  const noticeMs = 10_000;
  function mayGo(old) {
    const notice = old.nodeType === Node.ELEMENT_NODE && old.matches(".gb-banner") && old.querySelector("[data-notice]");
    return !notice || !(performance.now() - notice.dataset.seen < noticeMs);
  }

  const tallies = () => new Map([...document.querySelectorAll(".gb-option")].map((o) => [o.id, o.querySelector(".gb-tally")?.textContent]));
  function flash(before) {
    for (const [id, text] of tallies()) {
      const tally = before.has(id) && before.get(id) !== text && $(id).querySelector(".gb-tally");
      if (!tally) continue;
      tally.classList.add("gb-just");
      setTimeout(() => tally.classList.remove("gb-just"), 1500);
    }
  }

  /* after every swap: what only a script can add */
  let lastState = "";
  function settle() {
    const { state = "", live = "", trip = "", beacon = "", close = "" } = main().dataset;
    if (close) setTimeout(() => window.close(), 1500); // a browser may refuse; the page says what to do
    for (const button of document.querySelectorAll("[data-native-share]")) button.hidden = !navigator.share;
    for (const field of document.querySelectorAll("[data-zone]")) field.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
    const notice = main().querySelector("[data-notice]");
    if (notice && !notice.dataset.seen) {
      notice.dataset.seen = performance.now();
      notice.focus();
      notice.scrollIntoView({ block: "nearest" });
    }
    follow(live);
    if (beacon) tellVisit(beacon);
    if (state && state !== lastState) tellParent({ open: "trip.opened", decided: "trip.decided", booked: "booking.captured" }[state], { trip });
    lastState = state;
    tick();
    tellSize();
  }

  /* ---------- acts ---------- */

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const act = form.dataset.act ?? (framed && form.hasAttribute("data-go") ? "go" : null);
    if (act === null) return;
    if (!framed && (act === "start" || act === "pay")) {
      if (event.submitter) event.submitter.dataset.busy = ""; // the browser follows to the next page itself; once
      return;
    }
    if (form.dataset.confirm && !form.dataset.sure) {
      event.preventDefault();
      confirmFirst(form, event.submitter);
      return;
    }
    if (act === "keep" && framed) return keep(form);
    event.preventDefault();
    delete form.dataset.sure;
    submit(form, act, event.submitter);
  });

  /* A guest's seat goes to our own page at top level, in the body of a post: no address, cookie or store of a frame has it. */
  function keep(form) {
    const seat = Object.assign(document.createElement("input"), { type: "hidden", name: "seat", value: bearer || "" });
    // A frame's page tells nobody where it stands; this one post, to ourselves, must say so.
    document.head.append(Object.assign(document.createElement("meta"), { name: "referrer", content: "same-origin" }));
    form.append(seat);
    setTimeout(() => seat.remove(), 0); // the browser has read the form by then
  }

  async function submit(form, act, button) {
    const fields = new URLSearchParams(new FormData(form));
    if (button?.name) fields.set(button.name, button.value);
    if (act === "go") return load(form.getAttribute("action") + "?" + fields);
    if (act === "vote") return vote(form, button, fields);
    const opens = act === "pay" || (act === "share" && !button?.hasAttribute("data-copy-share"));
    const page = opens ? window.open("about:blank", "_blank") : null; // in the click, or it is blocked
    if (button) button.dataset.busy = "";
    try {
      const answer = await send(form, fields);
      const target = answer.headers.get("GB-Open");
      if (target) {
        reach(target, page, form, act);
        if (act === "pay") await refresh();
      } else {
        page?.close();
        if (answer.ok) form.closest("details")?.removeAttribute("open"); // what it asked for is told
        await show(answer);
      }
      if (answer.ok && act === "comment") form.reset();
    } catch {
      page?.close();
      toast(words.offline, { bad: true });
    } finally {
      if (button) delete button.dataset.busy;
    }
  }

  async function send(form, fields) {
    acting += 1;
    const { dirty } = form.dataset;
    delete form.dataset.dirty;
    try {
      const answer = await ask(form.getAttribute("action"), { method: "POST", body: fields });
      if (dirty && !answer.ok) form.dataset.dirty = dirty; // what was typed is there to be put right
      return answer;
    } finally {
      acting -= 1;
    }
  }

  function reach(target, page, form, act) {
    if (act === "share") tellParent("share.created", {});
    if (page) {
      page.opener = null;
      page.location = target;
    } else if (act === "share") copy(target, form);
    else toast(words.blocked, { action: words.open, run: () => window.open(target, "_blank", "noopener") });
  }

  function vote(form, button, fields) {
    const buttons = [...form.querySelectorAll("button")];
    const was = buttons.find((b) => b.getAttribute("aria-pressed") === "true");
    const again = was === button;
    fields.set("choice", again ? "" : button.value);
    press(buttons, again ? null : button);
    return cast(form, fields, buttons, was, again ? null : button, true);
  }

  async function cast(form, fields, buttons, was, now, canUndo) {
    try {
      const answer = await send(form, fields);
      if (!answer.ok) press(buttons, was);
      await show(answer);
      if (!answer.ok) return;
      const saved = form.closest(".gb-option")?.querySelector("[data-saved]");
      if (saved) {
        saved.dataset.on = "";
        setTimeout(() => delete saved.dataset.on, 2000);
      }
      const undo = () => {
        fields.set("choice", was ? was.value : "");
        press(buttons, was);
        cast(form, fields, buttons, now, was, false);
      };
      toast(words.saved, canUndo ? { action: words.undo, run: undo } : {});
    } catch {
      press(buttons, was);
      toast(words.offline, { bad: true });
    }
  }

  const press = (buttons, which) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === which)));

  function confirmFirst(form, button) {
    const sheet = document.createElement("dialog");
    sheet.className = "gb-sheet";
    const text = Object.assign(document.createElement("p"), { textContent: form.dataset.confirm, className: "gb-lead" });
    const row = Object.assign(document.createElement("div"), { className: "gb-actions" });
    const yes = Object.assign(document.createElement("button"), { textContent: words.yes, className: "gb-button gb-button--danger" });
    const no = Object.assign(document.createElement("button"), { textContent: words.no, className: "gb-button" });
    yes.onclick = () => {
      sheet.close();
      form.dataset.sure = "1";
      form.requestSubmit(button);
    };
    no.onclick = () => sheet.close();
    sheet.onclose = () => sheet.remove();
    row.append(yes, no);
    sheet.append(text, row);
    document.body.append(sheet);
    sheet.showModal();
  }

  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-act]");
    if (form) form.dataset.dirty = "1";
  });

  /* ---------- links, copying, sharing ---------- */

  document.addEventListener("click", (event) => {
    const copyButton = event.target.closest("[data-copy]");
    const source = copyButton && document.querySelector(copyButton.dataset.copy);
    if (source) return void copy(source.value ?? source.textContent);
    const native = event.target.closest("[data-native-share]");
    if (native) return void navigator.share({ title: native.dataset.title, url: native.dataset.url }).catch(() => {});
    const link = event.target.closest("a[href]");
    if (!framed || !link || event.defaultPrevented || event.ctrlKey || event.metaKey) return;
    const target = new URL(link.href, location.href);
    if (target.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    const login = link.dataset.login || /^\/login\/(\w+)$/.exec(target.pathname)?.[1];
    if (login) logIn(login);
    else if (link.hasAttribute("download")) download(target);
    else load(target.pathname + target.search);
  });

  async function copy(text, form) {
    const output = form?.querySelector("output");
    if (output) {
      output.textContent = text;
      output.hidden = false;
    }
    try {
      await navigator.clipboard.writeText(text);
      toast(words.copied);
    } catch {
      if (!output) toast(words.failed, { bad: true }); // the field is there to be selected by hand
    }
  }

  async function download(url) {
    const answer = await ask(url, { headers: { Accept: "*/*" } });
    if (!answer.ok) return void toast(words.failed, { bad: true });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = url.pathname.split("/").pop();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /* ---------- news of the trip: server-sent events, read with fetch because a bearer must go along ---------- */

  let following = "";
  let stopFollowing = null;
  let lastEventId = "";

  function follow(url) {
    if (url === following) return;
    stopFollowing?.abort();
    following = url;
    lastEventId = "";
    if (!url) return;
    stopFollowing = new AbortController();
    listen(url, stopFollowing.signal);
  }

  async function listen(url, signal) {
    let pause = 2000;
    let missed = false; // after a lost connection the page may be behind even if the stream has nothing to replay
    while (!signal.aborted) {
      try {
        const headers = { Accept: "text/event-stream" };
        if (lastEventId) headers["Last-Event-ID"] = lastEventId;
        const answer = await ask(url, { headers, signal });
        if (answer.status === 204) return;
        if ([401, 403, 404, 410].includes(answer.status)) return void refresh();
        if (answer.ok) {
          offline(false);
          if (missed) refreshSoon();
          pause = 2000;
          await read(answer.body.getReader());
        }
      } catch {
        if (signal.aborted) return;
      }
      missed = true;
      await sleep(pause + Math.random() * 2000);
      pause = Math.min(pause * 1.6, 30_000);
    }
  }

  async function read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true }).replace(/\r/g, "")).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const id = /^id: ?(.*)$/m.exec(block);
        if (id) lastEventId = id[1];
        if (/^data:/m.test(block)) refreshSoon();
      }
    }
  }

  let refreshTimer = 0;
  function refreshSoon() {
    clearTimeout(refreshTimer);
    refreshTimer = setTimeout(refresh, 60 + Math.random() * 180); // a large group does not ask all at once
  }

  async function refresh() {
    if (holding || acting) return refreshSoon();
    const path = here;
    let answer, text;
    try {
      answer = await ask(path);
      text = await answer.text();
    } catch {
      return offline(!navigator.onLine);
    }
    if (path !== here || holding || acting) return refreshSoon();
    const arrived = new URL(answer.url);
    if (answer.redirected) {
      here = arrived.pathname + arrived.search; // an act's own address leads to what it was about
      if (!framed) history.replaceState(null, "", here);
    }
    swap(new DOMParser().parseFromString(text, "text/html"), false);
    announce();
  }

  let announcedAt = -5000;
  let announceTimer = 0;
  function announce() {
    clearTimeout(announceTimer);
    announceTimer = setTimeout(() => {
      announcedAt = performance.now();
      const leading = $("leading")?.textContent.trim();
      $("gb-live").textContent = leading || words.changed;
    }, Math.max(0, announcedAt + 5000 - performance.now()));
  }

  addEventListener("pointerdown", () => (holding = true), true);
  for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => setTimeout(() => (holding = false), 60), true);

  /* ---------- small lives: countdowns, toasts, offline, visits ---------- */

  let waited = 0;
  function tick() {
    const again = document.querySelector("[data-again]"); // something is under way that no stream tells of
    if (again && ++waited >= again.dataset.again) {
      waited = 0;
      refreshSoon();
    }
    for (const clock of document.querySelectorAll("[data-until]")) {
      const left = Math.ceil((Date.parse(clock.dataset.until) - Date.now()) / 1000);
      if (left <= 0) {
        if (clock.dataset.ended !== clock.dataset.until) {
          clock.dataset.ended = clock.dataset.until;
          if ("vanish" in clock.dataset) clock.closest("form").hidden = true;
          else setTimeout(refreshSoon, 1500 + Math.random() * 2500);
        }
        clock.textContent = words.ended;
        continue;
      }
      const [d, h, m, s] = [left / 86400, (left / 3600) % 24, (left / 60) % 60, left % 60].map(Math.floor);
      const two = (n) => String(n).padStart(2, "0");
      if ("vanish" in clock.dataset) clock.textContent = left;
      else clock.textContent = d ? `${d} ${words.day} ${h} h` : h ? `${h} h ${two(m)} min` : `${m}:${two(s)} min`;
      clock.toggleAttribute("data-urgent", left < 300);
    }
  }
  setInterval(tick, 1000);

  let toastTimer = 0;
  function toast(text, { bad = false, action = "", run = null } = {}) {
    const box = Object.assign(document.createElement("div"), { className: "gb-toast" + (bad ? " gb-toast--bad" : "") });
    box.setAttribute("role", bad ? "alert" : "status");
    box.append(Object.assign(document.createElement("span"), { textContent: text }));
    if (action) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: action });
      button.onclick = () => {
        box.remove();
        run();
      };
      box.append(button);
    }
    $("gb-toasts").replaceChildren(box);
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => box.remove(), action ? 8000 : 3500);
  }

  const offline = (is) => ($("gb-offline").hidden = !is);
  addEventListener("offline", () => offline(true));
  addEventListener("online", () => {
    offline(false);
    refreshSoon();
  });
  addEventListener("pageshow", () => document.querySelectorAll("[data-busy]").forEach((one) => delete one.dataset.busy));
  addEventListener("popstate", () => {
    if (location.pathname + location.search === here) return; // a jump within the page, as by the skip link
    here = location.pathname + location.search;
    load(here);
  });

  /* A visit counts only when a person had the page before their eyes for a second. */
  const visits = new Set();
  async function tellVisit(url) {
    if (visits.has(url)) return;
    visits.add(url);
    for (let tries = 0; tries < 5; ) {
      await sleep(1000);
      if (document.visibilityState !== "visible" || document.prerendering) continue;
      tries += 1;
      const answer = await ask(url, { method: "POST", keepalive: true }).catch(() => null);
      if (answer && answer.status !== 409) return; // 409: less than a second after the page was asked for
    }
  }

  /* ---------- inside somebody's page ---------- */

  const fragment = new URLSearchParams(location.hash.slice(1));
  const instance = fragment.get("inst") || "";
  const parentOrigin = (frame.parents || "").split(" ").includes(fragment.get("parent")) ? fragment.get("parent") : null;
  let port = null;

  function tellParent(type, payload) {
    if (port && type) port.postMessage({ gb: 1, id: crypto.randomUUID(), inst: instance, type, payload });
  }

  function shakeHands() {
    if (!framed || !parentOrigin || window.parent === window) return;
    const channel = new MessageChannel();
    port = channel.port1;
    port.onmessage = ({ data }) => {
      if (!data || data.gb !== 1 || data.inst !== instance) return;
      if (data.type === "theme" && ["light", "dark"].includes(data.payload?.scheme)) root.dataset.theme = data.payload.scheme;
      if (data.type === "navigate" && /^\/(e|t|i)\/[\w./-]*$/.test(data.payload?.path)) load(data.payload.path);
    };
    window.parent.postMessage({ gb: 1, id: crypto.randomUUID(), inst: instance, type: "ready", payload: {} }, parentOrigin, [channel.port2]);
    new ResizeObserver(() => tellSize()).observe(document.body);
  }

  let size = 0;
  let sizeAsked = 0;
  let sizeTold = [];
  function tellSize() {
    if (!port || sizeAsked) return;
    sizeAsked = requestAnimationFrame(() => {
      sizeAsked = 0;
      const height = Math.min(Math.ceil(document.body.getBoundingClientRect().height), 20_000);
      const now = performance.now();
      sizeTold = sizeTold.filter((at) => now - at < 1000);
      if (Math.abs(height - size) <= 2 || sizeTold.length >= 10) return; // dead band, and no endless quarrel with the host
      sizeTold.push(now);
      size = height;
      tellParent("size", { h: height });
    });
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && tellParent("escape", {}));

  /* Log in through a window of our own: it is first party there. What comes back is a code that only this frame can use. */
  const base64 = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  async function logIn(network) {
    const popup = window.open("about:blank", "gb-login", "popup,width=480,height=720"); // in the click, or it is blocked
    tellParent("login.needed", {});
    try {
      const verifier = base64(crypto.getRandomValues(new Uint8Array(32)));
      const challenge = base64(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
      const opened = await askJson("/v1/embed/handoffs", { merchant: frame.merchant, embed_origin: parentOrigin || location.origin, instance, challenge });
      if (!opened.ok) throw new Error("handoff");
      const handoff = await opened.json();
      const page = handoff.url + "&network=" + encodeURIComponent(network);
      if (popup) popup.location = page;
      else toast(words.blocked, { action: words.open, run: () => window.open(page, "_blank") });
      await finishLogIn(handoff.id, verifier, popup);
    } catch {
      popup?.close();
      toast(words.failed, { bad: true });
    }
  }

  function finishLogIn(id, verifier, popup) {
    return new Promise((done) => {
      const sheet = document.createElement("dialog");
      sheet.className = "gb-sheet";
      const form = Object.assign(document.createElement("form"), { className: "gb-form" });
      const label = Object.assign(document.createElement("label"), { textContent: words.code, htmlFor: "gb-code" });
      const input = Object.assign(document.createElement("input"), { id: "gb-code", className: "gb-input", autocomplete: "one-time-code", maxLength: 9 });
      const note = Object.assign(document.createElement("p"), { textContent: words.finish, className: "gb-lead" });
      const button = Object.assign(document.createElement("button"), { textContent: words.ok, className: "gb-button gb-button--primary" });
      form.append(note, label, input, button);
      sheet.append(form);
      document.body.append(sheet);
      sheet.showModal();
      const heard = (event) => {
        const isOurs = event.origin === location.origin && (!popup || event.source === popup);
        if (isOurs && event.data?.gb === 1 && event.data.type === "handoff" && event.data.handoff === id) redeem(event.data.code);
      };
      const close = () => {
        removeEventListener("message", heard);
        sheet.remove();
        done();
      };
      async function redeem(code) {
        const answer = await askJson(`/v1/embed/handoffs/${id}/redeem`, { verifier, code });
        if (!answer.ok) return void toast(words.failed, { bad: true });
        bearer = (await answer.json()).token;
        close();
        await load(here);
      }
      form.onsubmit = (event) => {
        event.preventDefault();
        redeem(input.value.trim());
      };
      sheet.onclose = close;
      addEventListener("message", heard);
    });
  }

  /* ---------- start ---------- */

  async function start() {
    if (frame.launch) {
      const payload = location.search.slice(1);
      history.replaceState(null, "", location.pathname + location.hash); // a signed payload does not stay in an address
      const answer = await askJson(frame.launch, { merchant: frame.merchant, payload });
      if (!answer.ok) return load(frame.refused);
      const opened = await answer.json();
      bearer = opened.token;
      await load(opened.start && frame.startPrefix ? frame.startPrefix + opened.start : frame.first);
    } else if (frame.first) await load(frame.first);
    shakeHands();
    settle();
  }
  start();
})();
