// Mends two things that Streamlit leaves to screen readers and keyboards. The points of its trend lines are pictures without
// a name; the value beside the line says the same in words, so they are taken out of what is read. Its code blocks scroll,
// but cannot be reached with the keyboard to do so.
(() => {
  const POINTS = '[role="graphics-symbol"]:not([aria-label]):not([aria-hidden])';
  const CODE = '[data-testid="stCode"] pre:not([tabindex])';
  let waiting = false;
  const mend = () => {
    waiting = false;
    for (const point of document.querySelectorAll(POINTS)) point.setAttribute("aria-hidden", "true");
    for (const block of document.querySelectorAll(CODE)) block.tabIndex = 0;
  };
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(mend);
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributeFilter: ["role", "aria-hidden", "aria-label"], // a chart that is drawn again sets them anew
  });
})();
