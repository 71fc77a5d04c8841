// The filters of the table of all cells, and the attack that differences are from.
const form = document.getElementById("filters"), search = document.getElementById("search");
const selects = [...form.querySelectorAll("select")], shown = document.getElementById("shown");
const rows = [...document.getElementById("table").tBodies[0].rows];
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

controls.push({
  section: document.getElementById("cells"),
  save: state => {
    for (const select of selects)
      if (select.value) state.set(select.name, select.selectedOptions[0].text);
    if (search.value) state.set("contains", search.value);
  },
  load: state => {
    for (const select of selects) {
      const wanted = state.get(select.name);
      select.value = [...select.options].find(option => option.text === wanted)?.value ?? "";
    }
    search.value = state.get("contains") ?? "";
    filter();
    return Boolean(search.value) || selects.some(select => select.value);
  },
});

for (const event of ["input", "change"]) form.addEventListener(event, filter);
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => { unsort.get("table")(); filter(); }));
for (const select of document.querySelectorAll("select.against")) {
  const bodies = [...select.closest("section").querySelector("table.compared").tBodies];
  select.addEventListener("change", () =>
    bodies.forEach((body, place) => { body.hidden = place !== Number(select.value); }));
}
addEventListener("beforeprint", () =>
  document.querySelectorAll("details#reading").forEach(one => { one.open = true; }));
recall();
