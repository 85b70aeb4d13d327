"use strict";
const all = (query, within = document) => [...within.querySelectorAll(query)];
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

// Titles of marks become data, for our own tip: the browser's does not come up on a phone.
for (const title of all("svg title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}

// Tables: a click on a head sorts by the value of the cells; rows without a value stay last.
for (const table of all("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") === "descending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = Number.isNaN(Number(x)) ? x.localeCompare(y) : Number(x) - Number(y);
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}

// Tabs, one a benchmark.
for (const list of all("[role=tablist]")) {
  const tabs = [...list.children];
  const choose = (chosen) => {
    for (const tab of tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).classList.toggle("off", !on);
    }
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
  list.hidden = false;
  choose(tabs[0]);
}

// A list that chooses one of several names; `changed` is called at once and with every choice.
function picker(label, names, chosen, changed) {
  const select = make("select");
  select.append(...names.map((name) => make("option", { textContent: name, value: name })));
  if (names.includes(chosen)) select.value = chosen;
  const line = make("label");
  line.append(`${label} `, select);
  select.addEventListener("change", () => changed(select.value));
  return { line, select };
}
for (const choices of all(".choices")) {
  const blocks = all(":scope > .choice", choices);
  const show = (name) => blocks.forEach((block) => block.classList.toggle("off", block.dataset.name !== name));
  const names = blocks.map((block) => block.dataset.name);
  const { line, select } = picker(choices.dataset.label, names, choices.dataset.chosen, show);
  const pick = make("div", { className: "pick" });
  pick.append(line);
  choices.prepend(pick);
  choices.classList.add("chosen");
  show(select.value);
}

// The difference of two maps, drawn into the first one's place.
for (const block of all(".difference")) {
  const section = block.closest("section");
  const maps = new Map(all("svg[data-pairs]", section).map((svg) => [svg.dataset.pairs, svg]));
  const target = block.querySelector("svg");
  if (maps.size < 2) continue;
  const values = (name) =>
    new Map(all("g.cell[data-value]", maps.get(name)).map((cell) => [cell.dataset.pair, Number(cell.dataset.value)]));
  const draw = () => {
    const [ours, theirs] = [values(first.select.value), values(second.select.value)];
    const cells = all("g.cell", target);
    const changes = cells.map(({ dataset: { pair } }) =>
      ours.has(pair) && theirs.has(pair) ? ours.get(pair) - theirs.get(pair) : undefined);
    const limit = Math.max(0, ...changes.filter((v) => v !== undefined).map(Math.abs));
    const signed = (value, digits) => {
      const text = Math.abs(value).toFixed(digits);
      return Number(text) ? (value < 0 ? "-" : "+") + text : text;
    };
    cells.forEach((cell, index) => {
      const value = changes[index];
      const [rect, text] = [cell.querySelector("rect"), cell.querySelector("text")];
      const told = value === undefined ? "no value" : signed(value, 4);
      cell.dataset.tip = `${cell.dataset.pair}: ${told}`;
      if (value === undefined) {
        rect.style.fill = "none";
        delete cell.dataset.value;
        if (text) text.textContent = "";
        return;
      }
      cell.dataset.value = value;
      const strength = limit ? Math.min(Math.abs(value) / limit, 1) * 100 : 0;
      const hue = value >= 0 ? "var(--above)" : "var(--below)";
      rect.style.fill = `color-mix(in oklab, ${hue} ${strength.toFixed(0)}%, var(--cell))`;
      if (text) {
        text.textContent = signed(value * 100, limit < 0.1 ? 1 : 0);
        text.style.fill = strength > 60 ? "#fff" : "var(--ink)";
      }
    });
    const title = `${first.select.value} − ${second.select.value}`;
    target.querySelector("text.title").textContent = title.length > 46 ? `${title.slice(0, 45)}…` : title;
    target.setAttribute("aria-label", title);
  };
  const first = picker("Strategy", [...maps.keys()], block.dataset.ours, draw);
  const second = picker("minus", [...maps.keys()], block.dataset.theirs, draw);
  const pick = make("div", { className: "pick" });
  pick.append(first.line, second.line);
  block.prepend(pick);
}

// Legends whose entries hide and show the marks of an experiment in their section.
for (const legend of all("ul.toggles")) {
  const section = legend.closest("section");
  for (const item of [...legend.children]) {
    const experiment = [...item.classList].find((name) => /^e\d+$/.test(name));
    const button = make("button", { type: "button" });
    button.append(...item.childNodes);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", on);
      for (const mark of all(`svg .${experiment}`, section)) mark.classList.toggle("away", !on);
    });
    item.append(button);
  }
}

// Values under the pointer, or under a finger: the title of a mark, or the points of curves at one step.
const tip = make("div", { id: "tip", hidden: true });
tip.setAttribute("role", "status");
document.body.append(tip);
function say(text, event) {
  tip.textContent = text;
  tip.hidden = !text;
  if (!text) return;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 4))}px`;
  tip.style.top = `${event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16}px`;
}
function nearest(svg, event) {
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  let best;
  for (const line of all("g.line:not(.away)", svg)) {
    const drawn = line.querySelector("polyline").points;
    const held = line.dataset.points.split(" ");
    for (let index = 0; index < drawn.length; index += 1) {
      const distance = Math.hypot(drawn[index].x - place.x, drawn[index].y - place.y);
      if (!best || distance < best.distance) best = { distance, line, held: held[index] };
    }
  }
  if (!best || best.distance > 40) return "";
  const [step, value] = best.held.split(",");
  return `${best.line.dataset.tip}\nstep ${Number(step)}: ${value}`;
}
document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest?.("svg");
  if (!svg) return say("", event);
  if (svg.querySelector("g.line")) return say(nearest(svg, event), event);
  say(event.target.closest("[data-tip]")?.dataset.tip ?? "", event);
});
document.addEventListener("scroll", () => say("", {}), { passive: true });
addEventListener("beforeprint", () => {
  for (const block of all("details")) block.open = true;
});
