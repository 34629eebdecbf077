// Shows new messages without a reload, and leaves opened payloads open.
const list = document.getElementById("messages");
let shown = null;

async function refresh() {
  try {
    const answer = await fetch("/_inbox/list", { cache: "no-store" });
    const fresh = await answer.text();
    if (!answer.ok || fresh === shown) return;
    const opened = [...list.querySelectorAll("details[open]")].map((details) => details.parentElement.id);
    list.innerHTML = fresh;
    shown = fresh;
    for (const id of opened) document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
    document.title = `Slack inbox (${list.querySelectorAll("article").length})`;
  } catch {
    document.title = "Slack inbox (stopped)";
  }
}

refresh();
setInterval(refresh, 2000);
