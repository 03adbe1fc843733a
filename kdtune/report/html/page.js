"use strict";
// Heads of sortable tables sort their column: numbers by value, texts by name, empty cells last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const rises = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rises ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    const numeric = rows.some((row) => row.cells[column].dataset.key !== undefined);
    const key = (row) => {
      const cell = row.cells[column];
      if (!numeric) return cell.textContent.trim();
      return cell.dataset.key === undefined ? null : Number(cell.dataset.key);
    };
    const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    rows.sort((first, second) => {
      const a = key(first), b = key(second);
      if (a === null || b === null) return (a === null) - (b === null);
      return rises ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows);
  }));
}
// Paper has no click: data of figures are printed as well.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
