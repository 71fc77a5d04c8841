// Tables that are sorted by their headings, with a choice of columns and a button for CSV.
const collator = new Intl.Collator(undefined, { numeric: true });

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function sorter(table, heads) {
  const bodies = [...table.tBodies].map(body => [body, [...body.rows]]);
  let chosen = -1, falling = false;

  function compare(a, b) {
    const sign = falling ? -1 : 1, numeric = heads[chosen].dataset.kind === "number";
    if (!numeric) return sign * collator.compare(a, b);
    return (isNaN(a) - isNaN(b)) || (isNaN(a) ? 0 : sign * (a - b));  // without a number: last
  }

  function key(row) {
    const cell = row.cells[chosen];
    if (heads[chosen].dataset.kind !== "number") return cell.textContent.trim();
    return cell.dataset.v ? Number(cell.dataset.v) : NaN;
  }

  function sort(column, descending) {  // within each budget, below its title; -1: as it was
    chosen = column;
    falling = descending;
    for (const [body, rows] of bodies) {
      const titles = rows.filter(row => row.classList.contains("budget"));
      const others = rows.filter(row => !row.classList.contains("budget"));
      const keyed = column < 0 ? others.map(row => [0, row]) : others.map(row => [key(row), row]);
      if (column >= 0) keyed.sort(([a], [b]) => compare(a, b));
      body.append(...titles, ...keyed.map(([, row]) => row));
    }
    heads.forEach((head, place) => place === column
      ? head.setAttribute("aria-sort", falling ? "descending" : "ascending")
      : head.removeAttribute("aria-sort"));
    remember();
  }

  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () =>
    sort(column, column === chosen ? !falling : "more" in head.dataset)));
  const name = `${table.id}.sort`;
  controls.push({
    section: table.closest("section"),
    save: state => { if (chosen >= 0) state.set(name, (falling ? "-" : "") + heads[chosen].dataset.key); },
    load: state => {
      const wanted = state.get(name) ?? "", column = wanted.replace(/^-/, "");
      sort(heads.findIndex(head => head.dataset.key === column), wanted.startsWith("-"));
      return Boolean(wanted);
    },
  });
  return () => sort(-1, false);
}

function picker(table, heads, tools) {
  const groups = new Map();  // a box a column, or one for all of a group
  heads.forEach((head, column) => {
    if (head.dataset.key === "rank" || head.dataset.key === "attack") return;
    const name = head.dataset.group ?? head.dataset.key;
    const title = head.dataset.group ?? head.textContent.trim();
    if (!groups.has(name)) groups.set(name, { title, columns: [], hidden: head.hidden, box: null });
    groups.get(name).columns.push(column);
  });

  function show({ columns, box }) {
    const rows = [table.tHead.rows[0], ...[...table.tBodies].flatMap(body => [...body.rows])];
    for (const row of rows)
      if (row.cells.length === heads.length) for (const column of columns) row.cells[column].hidden = !box.checked;
    const shown = heads.filter(head => !head.hidden).length;
    for (const rest of table.querySelectorAll("tr.budget td")) rest.colSpan = Math.max(shown - 4, 1);
  }

  const list = make("div", { className: "boxes" });
  for (const group of groups.values()) {
    group.box = make("input", { type: "checkbox", checked: !group.hidden });
    group.box.addEventListener("change", () => { show(group); remember(); });
    const many = group.columns.length > 1;
    const label = make("label", {}, group.box, many ? ` ${group.title} (${group.columns.length})` : ` ${group.title}`);
    (many ? tools : list).append(label);
  }
  tools.append(make("details", { className: "picker" }, make("summary", {}, "Columns"), list));
  const name = `${table.id}.columns`;  // those that are not as they were
  controls.push({
    section: table.closest("section"),
    save: state => {
      const changed = [...groups].filter(([, group]) => group.box.checked === group.hidden);
      if (changed.length) state.set(name, changed.map(([key]) => key).join(","));
    },
    load: state => {
      const changed = (state.get(name) ?? "").split(",");
      for (const [key, group] of groups) {
        group.box.checked = group.hidden === changed.includes(key);
        show(group);
      }
      return Boolean(state.get(name));
    },
  });
}

function csv(table, heads) {  // the rows and columns that are shown, as they are shown
  const quoted = text => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const plain = cell => {  // a number without its remark
    const copy = cell.cloneNode(true), dropped = copy.matches("td:not(.text)") ? "small" : ".paper";
    for (const one of copy.querySelectorAll(dropped)) one.remove();
    return quoted(copy.textContent.replace(/\s+/g, " ").trim().replace(/^–$/, ""));
  };
  const places = heads.map((head, place) => place).filter(place => !heads[place].hidden);
  const grouped = table.classList.contains("board");
  const lines = [[...(grouped ? ["budget"] : []), ...places.map(place => plain(heads[place]))]];
  for (const body of table.tBodies) {
    const title = body.querySelector("tr.budget");
    for (const row of body.rows)
      if (!row.hidden && row !== title)
        lines.push([...(grouped ? [plain(title)] : []), ...places.map(place => plain(row.cells[place]))]);
  }
  return lines.map(line => line.join(",")).join("\n") + "\n";
}

function download(table, heads) {
  const file = new Blob([csv(table, heads)], { type: "text/csv" }), address = URL.createObjectURL(file);
  make("a", { href: address, download: `${table.dataset.file}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const unsort = new Map();
for (const tools of document.querySelectorAll(".tools")) {
  const table = document.getElementById(tools.dataset.for), heads = [...table.tHead.rows[0].cells];
  unsort.set(table.id, sorter(table, heads));
  picker(table, heads, tools);
  const button = make("button", { type: "button" }, "CSV");
  button.title = "Download the rows and columns that are shown";
  button.addEventListener("click", () => download(table, heads));
  tools.append(button);
}

addEventListener("click", event => {
  for (const one of document.querySelectorAll(".picker[open]")) one.open = one.contains(event.target);
});

// What scrolls can be reached with the keyboard, and nothing else; titles of groups stand below the head.
const sizes = new ResizeObserver(entries => {
  for (const { target } of entries) {
    const region = target.closest(".wide");
    if (target.tHead) target.style.setProperty("--head", `${target.tHead.offsetHeight}px`);
    region.classList.toggle("fits", region.firstElementChild.offsetWidth <= region.clientWidth);
    const scrolls = region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight;
    const wanted = { tabindex: "0", role: "region", "aria-label": region.dataset.label };
    for (const [name, value] of Object.entries(wanted))
      if (scrolls && value) region.setAttribute(name, value);
      else region.removeAttribute(name);
  }
});
for (const region of document.querySelectorAll(".wide[data-label]")) {
  sizes.observe(region);
  sizes.observe(region.firstElementChild);
}
