// Airflow's theme, for the page and for the runbook.
"use strict";

// Airflow's theme: the frame takes it from the page around it.
function followTheme() {
  let outer = null;
  try { outer = window.parent !== window ? window.parent.document.documentElement : null; } catch { outer = null; }
  const dark = () => outer
    ? outer.classList.contains("dark") || outer.dataset.theme === "dark"
    : window.matchMedia("(prefers-color-scheme: dark)").matches;
  const take = () => document.documentElement.classList.toggle("dark", dark());
  take();
  if (outer) new MutationObserver(take).observe(outer, { attributes: true, attributeFilter: ["class", "data-theme"] });
}

followTheme();
