// Follows an order live, counts the minutes that are left, and keeps a choice from being sent twice. The page can be used without it.
"use strict";
(() => {
  const shown = () => document.getElementById("order");
  const at = location.pathname;
  const language = new URLSearchParams(location.search).get("lang") || document.documentElement.lang;
  const parameters = (more) => "?" + new URLSearchParams({ lang: language, ...more });

  const renew = async () => {
    const answer = await fetch(at + parameters({ part: "main" }), { cache: "no-store" });
    if (!answer.ok) return;
    document.querySelector("main").innerHTML = await answer.text();
    count();
  };

  // What was looked at is shown until something else is known.
  const heard = async (news) => {
    if (shown() && news.state !== shown().dataset.state) await renew();
    return news.over;
  };

  const poll = async () => {
    for (;;) {
      await new Promise((go) => setTimeout(go, 3000));
      try {
        const answer = await fetch(at + "/state", { headers: { accept: "application/json" }, cache: "no-store" });
        if (answer.ok && await heard(await answer.json())) return;
      } catch { /* The phone is offline; it looks again. */ }
    }
  };

  const follow = () => {
    if (!window.EventSource) return poll();
    const source = new EventSource(at + "/state");
    source.onmessage = async (message) => {
      if (await heard(JSON.parse(message.data))) source.close();
    };
    // A stream that was refused is closed for good; one that broke begins again by itself.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) poll(); };
  };

  let counting = 0;
  const count = () => {
    clearInterval(counting);
    const left = document.querySelector("[data-seconds]");
    if (!left) return;
    const end = Date.now() + 1000 * Number(left.dataset.seconds);
    const write = () => {
      const minutes = Math.max(0, Math.ceil((end - Date.now()) / 60000));
      left.textContent = left.dataset.form.replace("{minutes}", minutes);
    };
    write();
    counting = setInterval(write, 5000);
  };

  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "1";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
  });
  // Whoever comes back by the browser's history finds a form that can be sent again.
  window.addEventListener("pageshow", () => document.querySelectorAll("form").forEach((form) => delete form.dataset.sent));

  count();
  if (shown() && shown().dataset.follows === "1") follow();
})();
