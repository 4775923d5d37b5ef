// Tells when the live part of the page has lost its connection. Everything else is htmx.
"use strict";
(() => {
  const show = (lost) => {
    const banner = document.getElementById("connection");
    if (banner) banner.hidden = !lost;
  };
  document.addEventListener("htmx:sseError", () => show(true));
  document.addEventListener("htmx:sendError", () => show(true));
  document.addEventListener("htmx:sseOpen", () => show(false));
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) show(false); });
})();
