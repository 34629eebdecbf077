// What the theme leaves out for people without a mouse: the search box is a dialog that needs a name, and a table that is
// wider than the window has to be reached by the keyboard to be scrolled.
document.querySelector("[data-md-component=search]")?.setAttribute("aria-label", "Search");
const reachable = () =>
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((table) => table.setAttribute("tabindex", "0"));
new MutationObserver(reachable).observe(document.body, { childList: true, subtree: true });
reachable();
