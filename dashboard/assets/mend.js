// Mends what Streamlit's trend lines leave to screen readers: their points are pictures without a name. The value beside
// the line says the same in words, so the points are taken out of what is read.
(() => {
  const POINTS = '[role="graphics-symbol"]:not([aria-label]):not([aria-hidden])';
  let waiting = false;
  const mend = () => {
    waiting = false;
    for (const point of document.querySelectorAll(POINTS)) point.setAttribute("aria-hidden", "true");
  };
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(mend);
  }).observe(document.documentElement, { subtree: true, childList: true });
})();
