// Makes the review more convenient; every action works without it.
"use strict";
{
  const PAUSE_MS = 700;
  const FOCUS = "review-focus";
  const cells = document.getElementById("cells");
  const isCell = (element) => element.name !== undefined && element.name.startsWith("cell.");
  const initial = (field) =>
    field.tagName === "SELECT" ? [...field.options].find((option) => option.defaultSelected)?.value ?? "" : field.defaultValue;
  const isChanged = (field) => field.value !== initial(field);
  const fields = () => [...cells.elements].filter(isCell);
  let isSending = false;

  function showUnsaved() {
    const count = fields().filter(isChanged).length;
    document.getElementById("unsaved").textContent =
      count === 0 ? "" : count === 1 ? "1 change is not saved yet." : `${count} changes are not saved yet.`;
    document.getElementById("save").className = count ? "main" : "quiet";
    return count;
  }

  function mark(field) {
    field.closest("td").classList.toggle("changed", isChanged(field));
    showUnsaved();
  }

  // After a save, the focus moves to the first wrong cell after the one that was edited.
  function keepFocus(field) {
    sessionStorage.setItem(FOCUS, field ? field.name : "");
  }

  function bringFocusBack() {
    const name = sessionStorage.getItem(FOCUS);
    sessionStorage.removeItem(FOCUS);
    if (name === null) return;
    const row = Number(name.split(".")[1]);
    const all = fields();
    const at = all.findIndex((field) => field.name === name);
    const isBehind = (field, place) => (at >= 0 ? place >= at : Number(field.name.split(".")[1]) > row);
    const next = all.find((field, place) => isBehind(field, place) && field.getAttribute("aria-invalid") === "true")
      ?? all.find((field) => field.getAttribute("aria-invalid") === "true") ?? all[at];
    if (next) next.focus();
  }

  if (cells) {
    cells.addEventListener("input", (event) => isCell(event.target) && mark(event.target));
    cells.addEventListener("change", (event) => isCell(event.target) && mark(event.target));
    cells.addEventListener("keydown", (event) => {
      const field = event.target;
      if (!isCell(field)) return;
      if (event.key === "Escape") {
        field.value = initial(field);
        mark(field);
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing && field.tagName !== "INPUT") {
        event.preventDefault();
        cells.requestSubmit(document.getElementById("save"));
      }
    });
    cells.addEventListener("submit", () => {
      isSending = true;
      keepFocus(isCell(document.activeElement) ? document.activeElement : fields().find(isChanged));
      // Send only changed cells, so that other people's changes in other cells stay.
      for (const field of fields()) if (!isChanged(field)) field.disabled = true;
    });
    addEventListener("pageshow", () => {
      isSending = false;
      for (const field of fields()) field.disabled = false;
    });
    addEventListener("beforeunload", (event) => {
      if (!isSending && showUnsaved() > 0) event.preventDefault();
    });
    bringFocusBack();
  }

  const show = document.getElementById("show");
  if (show) show.addEventListener("change", () => show.form.requestSubmit());

  async function waitForCheck() {
    const response = await fetch(document.body.dataset.state, { cache: "no-store" }).catch(() => null);
    const isDone = response === null ? false : !response.headers.get("content-type").includes("json") || !(await response.json()).pending;
    if (!isDone) {
      setTimeout(waitForCheck, PAUSE_MS);
    } else if (cells && showUnsaved() > 0) {
      document.getElementById("state").textContent = "The check is done. Save your changes to see what it found.";
    } else {
      if (cells && isCell(document.activeElement)) keepFocus(document.activeElement);
      location.reload();
    }
  }
  if (document.body.hasAttribute("data-pending")) setTimeout(waitForCheck, PAUSE_MS);
}
