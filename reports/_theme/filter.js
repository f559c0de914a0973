"use strict";
// The only script: a filter above long tables, and everything opened for print. The report reads the same without it.
for (const table of document.querySelectorAll("table[data-filter]")) {
  const row = document.createElement("p");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const told = document.createElement("span");
  row.className = "filter";
  input.type = "search";
  input.id = "filter-" + table.id;
  label.htmlFor = input.id;
  label.textContent = "Show only rows with";
  told.setAttribute("role", "status");
  told.className = "muted";
  input.addEventListener("input", () => {
    const word = input.value.trim().toLowerCase();
    let shown = 0;
    for (const line of table.querySelectorAll("tbody tr[data-row]")) {
      const fits = line.textContent.toLowerCase().includes(word);
      line.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    told.textContent = word ? shown + " rows" : "";
  });
  row.append(label, input, told);
  table.parentElement.before(row);
}
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});
