// Tells Helmsight how long this page took from navigation to its first finished run; nothing else is sent, and only to this server.
(() => {
  const page = location.pathname.split("/")[1] || "overview";
  const done = () => document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"] [data-testid="stMainBlockContainer"] [data-testid]');
  let sent = false;
  const report = () => {
    if (sent || document.visibilityState === "hidden" || !done()) return;
    sent = true;
    watch.disconnect();
    const body = JSON.stringify({ page, seconds: performance.now() / 1000 });
    fetch("/api/v1/rum", { method: "POST", body, keepalive: true, headers: { "Content-Type": "application/json" } }).catch(() => {});
  };
  const watch = new MutationObserver(report);
  watch.observe(document.documentElement, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-test-script-state"] });
  setTimeout(() => watch.disconnect(), 60000);
})();
