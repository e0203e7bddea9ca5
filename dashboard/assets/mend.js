// Mends what Streamlit leaves to keyboards: its code blocks scroll, but cannot be reached to do so.
(() => {
  const CODE = '[data-testid="stCode"] pre:not([tabindex])';
  let waiting = false;
  const mend = () => {
    waiting = false;
    for (const block of document.querySelectorAll(CODE)) block.tabIndex = 0;
  };
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(mend);
  }).observe(document.documentElement, { subtree: true, childList: true });
})();
