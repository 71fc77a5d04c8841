"use strict";
(() => {
  const form = document.getElementById("filters"), search = document.getElementById("search");
  const table = document.getElementById("table"), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells], selects = [...form.querySelectorAll("select")];
  const shown = document.getElementById("shown"), rows = [...body.rows];
  const facets = new Map(rows.map(row => [row, row.dataset.f.split(" ")]));
  const texts = new Map();  // made when first searched

  function filter() {
    const words = search.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const mine = facets.get(row);
      let fits = selects.every((select, place) => !select.value || mine[place] === select.value);
      if (fits && words) {
        if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
        fits = texts.get(row).includes(words);
      }
      row.hidden = !fits;
      count += fits;
    }
    shown.value = `${count} of ${rows.length} cells`;
    remember();
  }

  function key(row, column, numeric) {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent;
    return cell.dataset.v === undefined || cell.dataset.v === "" ? NaN : Number(cell.dataset.v);
  }

  function sort(column, descending) {
    const numeric = heads[column].dataset.kind === "number", sign = descending ? -1 : 1;
    const compare = new Intl.Collator(undefined, { numeric: true }).compare;
    const keyed = rows.map(row => [key(row, column, numeric), row]);
    keyed.sort(([a], [b]) => numeric
      ? (isNaN(a) - isNaN(b)) || (isNaN(a) ? 0 : sign * (a - b))  // what has no number is last
      : sign * compare(a, b));
    body.append(...keyed.map(([, row]) => row));
    heads.forEach((head, place) => place === column
      ? head.setAttribute("aria-sort", descending ? "descending" : "ascending")
      : head.removeAttribute("aria-sort"));
    remember();
  }

  function remember() {  // so that a view can be sent as a link
    const state = new URLSearchParams();
    for (const select of selects)
      if (select.value) state.set(select.name, select.selectedOptions[0].text);
    if (search.value) state.set("contains", search.value);
    const sorted = heads.findIndex(head => head.hasAttribute("aria-sort"));
    if (sorted >= 0) state.set("sort", (heads[sorted].ariaSort === "descending" ? "-" : "") + sorted);
    const text = state.toString();
    if (text) history.replaceState(null, "", "#?" + text);
    else if (location.hash.startsWith("#?")) history.replaceState(null, "", "#");
  }

  function recall() {
    if (!location.hash.startsWith("#?")) return;
    const state = new URLSearchParams(location.hash.slice(2)), sorted = state.get("sort");
    for (const select of selects) {
      const wanted = state.get(select.name);
      select.value = [...select.options].find(option => option.text === wanted)?.value ?? "";
    }
    search.value = state.get("contains") ?? "";
    if (heads[Math.abs(Number(sorted ?? NaN))])
      sort(Math.abs(Number(sorted)), sorted.startsWith("-"));
    filter();
    document.getElementById("cells").scrollIntoView();
  }

  for (const event of ["input", "change"]) form.addEventListener(event, filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", event => event.preventDefault());
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () =>
    sort(column, head.ariaSort ? head.ariaSort === "ascending" : head.dataset.kind === "number")));
  for (const select of document.querySelectorAll("select.against")) {
    const bodies = [...select.closest("section").querySelector("table.compared").tBodies];
    select.addEventListener("change", () =>
      bodies.forEach((body, place) => { body.hidden = place !== Number(select.value); }));
  }
  recall();
})();
