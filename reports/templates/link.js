// What a reader chose is kept in the link, so that a view can be sent: each control saves and loads
// its own part.
const controls = [];
let loading = false;

function remember() {
  if (loading) return;
  const state = new URLSearchParams();
  for (const control of controls) control.save(state);
  const text = state.toString();
  if (text) history.replaceState(null, "", "#?" + text);
  else if (location.hash.startsWith("#?")) history.replaceState(null, "", "#");
}

function recall() {
  if (!location.hash.startsWith("#?")) return;
  const state = new URLSearchParams(location.hash.slice(2));
  loading = true;
  const changed = controls.filter(control => control.load(state));
  loading = false;
  changed[0]?.section.scrollIntoView();
}
addEventListener("hashchange", recall);
