// The last step of the hand-off (social-and-referral.md B.3): give the code to the frame that opened this window.
// Same origin only: nobody else can read the message. Without an opener the page shows a code to type.
"use strict";
(() => {
  const box = document.getElementById("gb-handoff");
  const typed = document.getElementById("gb-handoff-typed");
  const going = document.getElementById("gb-handoff-going");
  if (!box) return;
  const message = { gb: 1, type: "handoff", handoff: box.dataset.handoff, code: box.dataset.code };
  box.removeAttribute("data-code");
  let given = false;
  try {
    if (window.opener && !window.opener.closed) {
      window.opener.postMessage(message, location.origin);
      given = true;
    }
  } catch (error) {
    given = false; // the opener was severed on the way; the person types the code
  }
  if (!given) {
    going.hidden = true;
    return;
  }
  typed.hidden = true;
  setTimeout(() => window.close(), 300);
  setTimeout(() => { typed.hidden = false; going.hidden = true; }, 2500);
})();
