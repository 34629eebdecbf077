// The page's life in the browser: details of a cell, countdowns, refreshing, actions through Airflow's REST API.
"use strict";

const page = document.getElementById("page");
const about = document.getElementById("about");
const ask = document.getElementById("ask");
const byId = (id) => document.getElementById(id);
const REFRESH_MS = 15000;
const REFRESH_WHILE_ACTIVE_MS = 3000;

// The number of days in the address of the page around the frame, so that a view can be linked.
function followAddress() {
  if (window.parent === window) return false;
  try {
    const outer = new URL(window.parent.location.href), own = new URL(window.location.href);
    const asked = outer.searchParams.get("days"), chosen = own.searchParams.get("days");
    if (asked && !chosen) { own.searchParams.set("days", asked); window.location.replace(own); return true; }
    if (chosen && asked !== chosen) { outer.searchParams.set("days", chosen); window.parent.history.replaceState(window.parent.history.state, "", outer); }
  } catch { /* another origin's frame: its address is not ours */ }
  return false;
}

function countDown() {
  for (const span of document.querySelectorAll("[data-until]")) {
    const left = Math.round((new Date(span.dataset.until) - Date.now()) / 1000);
    const minutes = Math.floor(Math.abs(left) / 60), seconds = String(Math.abs(left) % 60).padStart(2, "0");
    span.textContent = (left < 0 ? "+" : "−") + (minutes >= 60 ? `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, "0")}` : `${minutes}:${seconds}`);
    span.title = left < 0 ? "over its SLA" : "left until its SLA";
  }
}

// Only what changes is fetched again; the place in the table and the focus stay.
async function refresh() {
  if (!ask.open && !document.hidden) {
    const focused = document.activeElement, key = focused?.dataset?.row && [focused.dataset.row, focused.dataset.day];
    const left = page.querySelector(".scroll")?.scrollLeft;
    const address = new URL(window.location.href);
    address.searchParams.set("part", "1");
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      if (answer.ok) {
        page.innerHTML = await answer.text();
        settle(left);
        if (key) page.querySelector(`[data-row="${CSS.escape(key[0])}"][data-day="${CSS.escape(key[1])}"]`)?.focus({ preventScroll: true });
      }
    } catch { /* the next turn tries again */ }
  }
  const active = byId("needs-section")?.dataset.active;
  setTimeout(refresh, active ? REFRESH_WHILE_ACTIVE_MS : REFRESH_MS);
}

function settle(left) {
  const scroll = page.querySelector(".scroll");
  if (scroll) scroll.scrollLeft = left ?? scroll.scrollWidth;
  countDown();
}

let shownFor = null;
async function show(cell) {
  shownFor = cell;
  const answer = await fetch(`cell?row=${encodeURIComponent(cell.dataset.row)}&day=${encodeURIComponent(cell.dataset.day)}`, { credentials: "same-origin" });
  if (shownFor !== cell) return;
  about.innerHTML = answer.ok ? await answer.text() : "";
  about.hidden = !answer.ok;
  const box = cell.getBoundingClientRect();
  const width = Math.min(380, window.innerWidth - 16);
  about.style.width = `${width}px`;
  about.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - width - 8)) + window.scrollX}px`;
  const below = box.bottom + about.offsetHeight + 8 < window.innerHeight;
  about.style.top = `${(below ? box.bottom + 4 : Math.max(4, box.top - about.offsetHeight - 4)) + window.scrollY}px`;
}

function hide() {
  shownFor = null;
  about.hidden = true;
}

// A link of Airflow's own: the page around the frame goes there, without loading everything again.
function goTo(path) {
  try {
    window.parent.history.pushState({}, "", path);
    window.parent.dispatchEvent(new PopStateEvent("popstate"));
  } catch {
    window.location.assign(path);
  }
}

let wanted = null;
function askFor(button) {
  const { kind, day, sources, last, dags, rebuilds } = button.dataset;
  wanted = { kind, day, last: last || day, dags: dags.split(" "), nonce: `${Date.now()}_${Math.random().toString(36).slice(2, 8)}` };
  const range = kind === "range";
  byId("ask-title").textContent = range ? "Back-fill a range of days" : button.textContent.trim();
  byId("ask-text").textContent = {
    load: `Loads ${sources} for ${day}.` + (rebuilds ? ` The marts of ${day} exist: they are rebuilt and published when it is loaded.` : " dbt follows when all six sources have loaded that day."),
    rebuild: `Announces ${day} again: dbt rebuilds, tests and publishes its marts.`,
    backfill: `Loads all six sources for ${last ? `${day} to ${last}` : day}; dbt follows.`,
    range: "Loads every day of the range, the last one included; dbt follows day by day. Days whose marts exist are rebuilt.",
  }[kind];
  byId("ask-range").hidden = !range;
  if (range) { byId("first").value = day; byId("last").value = day; byId("first").max = day; byId("last").max = day; }
  byId("ask-answer").textContent = "";
  byId("ask-yes").disabled = false;
  byId("ask-yes").hidden = false;
  hide();
  ask.showModal();
}

async function post(path, body) {
  const answer = await fetch(`${base()}/api/v2/${path}`, {
    method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.ok || (answer.status === 409 && path.endsWith("dagRuns"))) return; // 409: this very click has been taken already
  const told = await answer.json().catch(() => ({}));
  const detail = typeof told.detail === "string" ? told.detail : JSON.stringify(told.detail ?? "");
  throw new Error(`Airflow answered ${answer.status}. ${detail}`);
}

const base = () => window.location.pathname.replace(/\/pipeline\/.*$/, "");

async function doIt() {
  byId("ask-yes").disabled = true; // one click, one request; the run's id makes a second one harmless
  const answer = byId("ask-answer");
  answer.textContent = "Asking Airflow …";
  const { kind, day, last, dags, nonce } = wanted;
  const run = { dag_run_id: `pipeline_page__${day}__${nonce}`, logical_date: null, note: "Asked for on the Pipeline page." };
  try {
    if (kind === "load") for (const dag of dags) await post(`dags/${dag}/dagRuns`, { ...run, partition_key: day });
    else if (kind === "rebuild") await post("dags/rebuild_day/dagRuns", { ...run, conf: { first_day: day } });
    else await backfill(kind === "range" ? byId("first").value : day, kind === "range" ? byId("last").value : last, dags);
    answer.textContent = "Taken. The grid shows how it goes.";
    byId("ask-yes").hidden = true;
    setTimeout(() => { if (ask.open) ask.close(); refreshSoon(); }, 1200);
  } catch (error) {
    answer.textContent = error.message;
    byId("ask-yes").disabled = false;
  }
}

async function backfill(first, last, dags) {
  if (!first || !last || last < first) throw new Error("The last day must not lie before the first.");
  const source = byId("what").value, rows = [...document.querySelectorAll(".grid tbody:first-of-type th")].map((cell) => cell.textContent);
  const chosen = !byId("ask-range").hidden && source ? [dags[rows.indexOf(source)]] : dags;
  for (const dag_id of chosen) {
    await post("backfills", {
      dag_id, from_date: `${first}T00:00:00Z`, to_date: `${last}T23:59:59Z`, reprocess_behavior: "completed", max_active_runs: 3,
    });
  }
}

function refreshSoon() {
  const section = byId("needs-section");
  if (section) section.dataset.active = "1";
  refreshNow();
}

async function refreshNow() {
  const address = new URL(window.location.href);
  address.searchParams.set("part", "1");
  const left = page.querySelector(".scroll")?.scrollLeft;
  const answer = await fetch(address, { credentials: "same-origin" });
  if (answer.ok) { page.innerHTML = await answer.text(); settle(left); }
}

// Who looks after an incident; the store keeps who and when.
async function handle(button) {
  button.disabled = true;
  const body = JSON.stringify({ incident: button.dataset.incident, minutes: Number(button.dataset.minutes) });
  const answer = await fetch("incidents", { method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body });
  if (answer.ok) refreshNow();
  else { button.disabled = false; button.textContent = `Airflow answered ${answer.status}`; }
}

// A held day: the answer goes to Airflow's own question, which knows who may give it.
async function answerHeld(button) {
  button.disabled = true;
  const path = `dags/ecommerce_dbt/dagRuns/${encodeURIComponent(button.dataset.run)}/taskInstances/publish_marts/-1/hitlDetails`;
  const body = JSON.stringify({ chosen_options: [button.textContent], params_input: {} });
  const answer = await fetch(`${base()}/api/v2/${path}`, { method: "PATCH", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body });
  if (answer.ok) refreshSoon();
  else button.textContent = `Airflow answered ${answer.status}`;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a");
  if (button?.classList.contains("act")) askFor(button);
  else if (button?.classList.contains("handle")) handle(button);
  else if (button?.classList.contains("answer")) answerHeld(button);
  else if (button?.classList.contains("cell")) show(button);
  else if (button?.classList.contains("close")) { const cell = shownFor; hide(); cell?.focus(); }
  else if (button?.classList.contains("airflow")) { event.preventDefault(); goTo(button.getAttribute("href")); }
  else if (!event.target.closest("#about, dialog")) hide();
});
document.addEventListener("mouseover", (event) => {
  const cell = event.target.closest("button.cell");
  if (cell && cell !== shownFor) { clearTimeout(show.timer); show.timer = setTimeout(() => show(cell), 150); }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hide();
  const cell = event.target.closest?.("button.cell");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!cell || (!step && event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  event.preventDefault();
  const cells = [...page.querySelectorAll("button.cell")], index = cells.indexOf(cell);
  const wide = cell.closest("tr").querySelectorAll("button.cell").length;
  cells[index + (step ?? (event.key === "ArrowUp" ? -wide : wide))]?.focus();
});
byId("ask-no").addEventListener("click", () => ask.close());
byId("ask-yes").addEventListener("click", doIt);

followAddress();
settle();
setInterval(countDown, 1000);
setTimeout(refresh, REFRESH_WHILE_ACTIVE_MS);
