"use strict";
(() => {
  const form = document.getElementById("pick"), selects = [...form.querySelectorAll("select")];
  const all = [...document.querySelectorAll("#galleries details")];
  function pick() {
    for (const one of all)
      one.hidden = selects.some(select => select.value && one.dataset[select.name] !== select.value);
    const seen = all.filter(one => !one.hidden);
    if (seen.length && !seen.some(one => one.open)) seen[0].open = true;
  }
  form.addEventListener("change", pick);
  form.addEventListener("submit", event => event.preventDefault());
  form.hidden = false;
  pick();
})();
