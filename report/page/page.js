"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);

// el makes an element. What is in it becomes text unless it is an element: nothing is ever parsed as HTML.
function el(tag, attributes, ...inside) {
  return fill(document.createElement(tag), attributes, inside);
}
function svg(tag, attributes, ...inside) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, inside);
}
function fill(e, attributes, inside) {
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  e.append(...inside.filter(x => x !== null));
  return e;
}

// ---- Numbers, as package report writes them.

// fixed rounds as Go does: what lies exactly between two numbers goes to the even one.
function fixed(v, digits) {
  const scaled = v * 10 ** digits;
  if (Number.isInteger(v * 8) && scaled - Math.floor(scaled) === 0.5) return (2 * Math.round(scaled / 2) / 10 ** digits).toFixed(digits);
  return v.toFixed(digits);
}
const units = [["ns", 1, 1000], ["µs", 1e3, 1000], ["ms", 1e6, 1000], ["s", 1e9, 1000], ["min", 60e9, 60], ["h", 3600e9, 24], ["d", 86400e9, 365], ["y", 365.25 * 86400e9, Infinity]];
function time(ns) {
  for (const [symbol, size, limit] of units) {
    const v = ns / size;
    const text = fixed(v, size === 1 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2);
    if (Number(text) < limit) return text + " " + symbol;
  }
}
function roundTime(ns) {
  const [number, unit] = time(ns).split(" ");
  return (number.includes(".") ? number.replace(/0+$/, "").replace(/\.$/, "") : number) + " " + unit;
}
function count(n) {
  return BigInt(Math.round(n)).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}
function percent(part, whole) {
  if (!(part > 0 && whole > 0)) return "0.0";
  const p = 100 * part / whole;
  if (p < 0.05) return "<0.1";
  return fixed(part < whole && p > 99.9 ? 99.9 : p, 1);
}
const plural = (n, noun) => count(n) + " " + noun + (n === 1 ? "" : "s");

// ---- Distributions: pairs of a bucket and its count. Buckets are those of profile.Histogram, 16 of them in one.

const perBucket = 16, anOctave = 128;
function lowOf(bucket) {
  const i = bucket * perBucket, shift = Math.max(Math.floor(i / anOctave) - 1, 0);
  return (i - shift * anOctave) * 2 ** shift;
}
const middleOf = bucket => (lowOf(bucket) + lowOf(bucket + 1)) / 2;
function each(buckets, f) {
  for (let i = 0; buckets && i < buckets.length; i += 2) f(buckets[i], buckets[i + 1]);
}
function allOf(row) {
  if (row.all) return row.all;
  const counts = new Map();
  const add = (bucket, n) => counts.set(bucket, (counts.get(bucket) || 0) + n);
  each(row.ok, add);
  for (const failed of row.f || []) each(failed.h, add);
  return row.all = [...counts].sort((a, b) => a[0] - b[0]).flat();
}

// An axis is logarithmic, and its ends are round: 1, 2, 5, 10 and so on.
const leastAxis = 10;
function roundDown(ns) {
  const ten = 10 ** Math.floor(Math.log10(ns) + 1e-9);
  return ten * (ns >= 5 * ten ? 5 : ns >= 2 * ten ? 2 : 1);
}
function roundUp(ns) {
  const down = roundDown(ns);
  return down >= ns ? down : down * (String(down)[0] === "2" ? 2.5 : 2);
}
function axis(low, high) {
  low = roundDown(Math.max(Math.min(low, high), leastAxis));
  high = Math.max(roundUp(Math.max(high, 1)), roundUp(low + 1));
  const from = Math.log(low), range = Math.log(high) - from;
  return { low, high, at: ns => Math.min(Math.max((Math.log(Math.max(ns, 1)) - from) / range, 0), 1) };
}
function decades(a, f) {
  for (let ten = 10 ** Math.ceil(Math.log10(a.low) - 1e-9); ten <= a.high * 1.000001; ten *= 10) f(ten);
}
function axisOf(rows) {
  let low = Infinity, high = 0, fastest = Infinity;
  for (const row of rows) {
    let seen = 0, first = -1;
    each(allOf(row), (bucket, n) => {
      seen += n;
      if (first < 0 && seen >= row.c / 100) first = bucket;
    });
    low = Math.min(low, first < 0 ? Infinity : Math.max(lowOf(first), row.min));
    high = Math.max(high, row.max);
    fastest = Math.min(fastest, row.min);
  }
  const a = axis(low, high);
  a.below = fastest < a.low;
  return a;
}

// spark is a small drawing of a distribution.
function spark(row, a) {
  const parts = 40, counts = new Array(parts).fill(0);
  each(allOf(row), (bucket, n) => { counts[Math.min(Math.floor(parts * a.at(middleOf(bucket))), parts - 1)] += n; });
  const most = Math.max(...counts, 1);
  let path = "";
  counts.forEach((n, i) => {
    if (n > 0) path += "M" + 3 * i + " 16v" + -fixed(1.5 + 14.5 * n / most, 1) + "h2.6V16z";
  });
  return svg("svg", { class: "spark", viewBox: "0 0 120 16", preserveAspectRatio: "none", role: "img", "aria-label": "distribution from " + time(row.min) + " to " + time(row.max) }, svg("path", { d: path }));
}

// distribution draws all latencies of a row by outcome: the area of a bar is its number of calls.
function distribution(row) {
  const width = 720, height = 190, top = 30, bottom = 165, left = 4, right = 716;
  const a = axis(row.min, row.max), x = ns => left + (right - left) * a.at(ns);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "distribution of latencies" });
  decades(a, ten => {
    picture.append(svg("line", { class: "grid", x1: x(ten), x2: x(ten), y1: top, y2: bottom }),
      svg("text", { x: x(ten), y: bottom + 14, "text-anchor": x(ten) < 30 ? "start" : x(ten) > width - 30 ? "end" : "middle" }, roundTime(ten)));
  });
  const ok = new Map(), bars = [];
  each(row.ok, (bucket, n) => ok.set(bucket, n));
  let most = 0;
  each(allOf(row), (bucket, n) => {
    const from = x(Math.max(lowOf(bucket), a.low)), to = Math.max(x(lowOf(bucket + 1)), from + 1);
    bars.push({ bucket, from, wide: to - from, n, good: ok.get(bucket) || 0 });
    most = Math.max(most, n / (to - from));
  });
  for (const b of bars) {
    const high = Math.max((bottom - top) * b.n / b.wide / most, 1), bad = b.n > b.good ? Math.max(high * (b.n - b.good) / b.n, 1) : 0;
    const says = svg("title", {}, `${time(lowOf(b.bucket))} to ${time(lowOf(b.bucket + 1))}: ${plural(b.n, "call")}` + (bad ? `, ${count(b.n - b.good)} failed` : ""));
    const part = (kind, y, h) => svg("rect", { class: kind, x: b.from, width: Math.max(b.wide - 0.5, 0.5), y, height: h });
    picture.append(svg("g", {}, says, bad < high ? part("ok", bottom - high, high - bad) : null, bad ? part("failed", bottom - bad, bad) : null));
  }
  const marks = []; // where several are in the same place they are one
  for (const [name, ns] of [["p50", row.p50], ["p90", row.p90], ["p99", row.p99], ["max", row.max]]) {
    const at = x(ns), last = marks[marks.length - 1];
    if (last && at - last.at < 3) last.names += " " + name;
    else marks.push({ at, names: name });
  }
  let edge = -Infinity;
  for (const { at, names } of marks) {
    const level = at < edge ? 24 : 12, room = 4 * names.length;
    if (level === 12) edge = at + room + 14;
    picture.append(svg("line", { class: "mark", x1: at, x2: at, y1: level + 2, y2: bottom }),
      svg("text", { x: at, y: level, "text-anchor": at < room ? "start" : at > width - room ? "end" : "middle" }, names));
  }
  return picture;
}

// ---- Latencies over time.

function heat(triples) {
  const { ends, lows } = data.time, width = 960, left = 58, top = 6, bottom = 22;
  let least = Infinity, largest = 0;
  for (let i = 0; i < triples.length; i += 3) {
    least = Math.min(least, triples[i + 1]);
    largest = Math.max(largest, triples[i + 1]);
  }
  if (largest < least) return el("p", { class: "note" }, "no call returned");
  const from = Math.log(Math.max(lows[least], leastAxis)), range = Math.log(Math.max(lows[largest + 1], leastAxis + 1)) - from;
  const high = Math.max(8 * (largest - least + 1), 60), end = Math.max(ends[ends.length - 1], 1);
  const y = ns => top + high * (1 - Math.max(Math.log(Math.max(ns, leastAxis)) - from, 0) / range), x = ns => left + (width - left - 4) * ns / end;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${top + high + bottom}`, role: "img", "aria-label": "latencies over time" });
  const rate = i => triples[i + 2] / Math.max(ends[triples[i]] - (ends[triples[i] - 1] || 0), 1);
  let low = Infinity, most = 0;
  for (let i = 0; i < triples.length; i += 3) {
    low = Math.min(low, rate(i));
    most = Math.max(most, rate(i));
  }
  for (let i = 0; i < triples.length; i += 3) {
    const [slice, bucket, n] = triples.slice(i, i + 3), start = ends[slice - 1] || 0;
    const level = most > low ? 1 + Math.round(7 * Math.log(rate(i) / low) / Math.log(most / low)) : 8;
    const y0 = y(lows[bucket + 1]), y1 = y(lows[bucket]);
    picture.append(svg("rect", { class: "cell l" + level, x: fixed(x(start), 2), width: fixed(Math.max(x(ends[slice]) - x(start), 0.7), 2), y: fixed(y0, 2), height: fixed(Math.max(y1 - y0, 1), 2) },
      svg("title", {}, `${time(start)} to ${time(ends[slice])}: ${plural(n, "call")} of ${time(lows[bucket])} to ${time(lows[bucket + 1])}`)));
  }
  for (let ten = leastAxis; ten <= lows[largest + 1]; ten *= 10) {
    if (ten < lows[least]) continue;
    picture.append(svg("line", { class: "grid", x1: left, x2: width, y1: y(ten), y2: y(ten) }), svg("text", { x: left - 6, y: y(ten) + 4, "text-anchor": "end" }, roundTime(ten)));
  }
  let step = roundDown(end / 5);
  for (let t = 0; t <= end; t += step) {
    picture.append(svg("line", { class: "grid", x1: x(t), x2: x(t), y1: top + high, y2: top + high + 4 }),
      svg("text", { x: x(t), y: top + high + 17, "text-anchor": x(t) > width - 30 ? "end" : "middle" }, t ? roundTime(t) : "0"));
  }
  return picture;
}
function showTime() {
  if (!data.time) return;
  const choose = $("timeof");
  choose.append(el("option", { value: -1 }, "all calls"));
  const named = data.rows.filter(row => row.t !== undefined).sort((a, b) => a.t - b.t);
  for (const row of named) choose.append(el("option", { value: row.t }, cut(row.n, 80)));
  const draw = () => $("heat").replaceChildren(heat(choose.value < 0 ? data.time.all : data.time.rows[choose.value]));
  choose.addEventListener("change", draw);
  draw();
  $("time").hidden = false;
}
const cut = (s, most) => s.length > most ? [...s.slice(0, most)].join("") + "…" : s;

// ---- The table.

function showTable() {
  const atMost = (row, ns) => (row.u ? "≤ " : "") + time(ns);
  let columns = [
    { key: "n", heading: "call", name: true },
    { key: "s", heading: "% time", text: row => percent(row.s, data.total.s) },
    { key: "s", heading: "total", text: row => time(row.s) },
    { key: "cpu", heading: "CPU", text: row => row.cpu === undefined ? "" : time(row.cpu), cpu: true },
    { key: "off", heading: "off-CPU", text: row => row.off === undefined ? "" : time(row.off), cpu: true },
    { key: "c", heading: "calls", text: row => count(row.c) },
    { key: "e", heading: "errors", text: row => row.e ? count(row.e) : "", bad: true },
    { key: "m", heading: "mean", text: row => atMost(row, row.m) },
    { key: "p50", heading: "p50", text: row => atMost(row, row.p50) },
    { key: "p99", heading: "p99", text: row => atMost(row, row.p99) },
    { key: "max", heading: "max", text: row => time(row.max) },
    { key: "", spark: true },
  ].filter(c => data.cpu || !c.cpu);
  const a = axisOf(data.rows.length ? data.rows : [data.total]);
  let sorted = columns.find(c => c.heading === "total"), down = true, filter = "", grouped = !!data.groups;
  const open = new Set();
  const body = $("table").tBodies[0];

  const value = (row, key) => row[key] === undefined ? -1 : row[key];
  const compareNames = (x, y) => x.n < y.n ? -1 : x.n > y.n ? 1 : 0;
  function inOrder(rows) {
    const sign = down ? -1 : 1, key = sorted.key;
    return [...rows].sort((x, y) => sign * (sorted.name ? compareNames(x, y) : value(x, key) - value(y, key)) || compareNames(x, y));
  }
  const matches = row => filter === "" || row.n.toLowerCase().includes(filter);

  function lineOf(row, child) {
    if (row.line) return row.line;
    const line = el("tr", child ? { class: "child" } : {});
    for (const c of columns) {
      if (c.spark) line.append(el("td", {}, spark(row, a)));
      else if (c.name) {
        row.button = el("button", { type: "button", "aria-expanded": "false" }, el("bdi", {}, row.n));
        row.button.addEventListener("click", () => { open.has(row) ? open.delete(row) : open.add(row); show(); });
        line.append(el("td", { class: "name" }, row.button));
      } else line.append(el("td", c.bad ? { class: "bad" } : {}, c.text(row)));
    }
    return row.line = line;
  }
  function detailOf(row) {
    if (row.detail) return row.detail;
    const figures = el("dl", { class: "figures" });
    for (const [name, ns] of [["min", row.min], ["p50", row.p50], ["p90", row.p90], ["p99", row.p99], ["p99.9", row.p999], ["max", row.max], ["mean", row.m]]) {
      figures.append(el("dt", {}, name), el("dd", {}, time(ns)));
    }
    const parts = el("div", {}, el("figure", {}, el("figcaption", {}, "Latencies by outcome; areas are numbers of calls"), distribution(row)), figures);
    const failed = (row.f || []).filter(f => f.e);
    if (failed.length) {
      const table = el("table", { class: "errnos" }, el("thead", {}, el("tr", {}, ...["errno", "errors", "% of calls", "mean", "p99"].map(h => el("th", {}, h)))));
      for (const f of failed.sort((x, y) => y.c - x.c)) {
        table.append(el("tr", {}, el("td", { class: "bad" }, f.e), ...[count(f.c), percent(f.c, row.c), time(f.m), time(f.p99)].map(t => el("td", {}, t))));
      }
      parts.append(table);
    }
    if (row.t !== undefined && data.time) parts.append(el("figure", {}, el("figcaption", {}, "Over time"), heat(data.time.rows[row.t])));
    return row.detail = el("tr", { class: "detail" }, el("td", { colspan: columns.length }, parts));
  }
  function show() {
    const lines = [];
    let shown = 0;
    const add = (row, child) => {
      shown++;
      const isOpen = open.has(row);
      lines.push(lineOf(row, child));
      row.button.setAttribute("aria-expanded", isOpen);
      if (isOpen && row.rows) {
        for (const inside of inOrder(row.rows)) add(inside, true);
        if (row.flights.length) lines.push(row.detail = row.detail || el("tr", { class: "detail" }, el("td", { colspan: columns.length }, ...row.flights.map(line => el("p", {}, line)))));
      } else if (isOpen) lines.push(detailOf(row));
    };
    const all = grouped ? data.groups : data.rows;
    for (const row of inOrder(all)) if (matches(row) || row.rows && row.rows.some(matches)) add(row, false);
    body.replaceChildren(...lines);
    $("shown").textContent = filter ? `${count(shown)} of ${count(all.length)} rows` : "";
    if (lines.length === 0) body.append(el("tr", {}, el("td", { class: "name", colspan: columns.length }, all.length ? "no row has such a name" : "no system calls were counted")));
    columns[0].button.textContent = grouped ? data.by : "call";
    for (const c of columns) if (c.th) c.th.setAttribute("aria-sort", c !== sorted ? "none" : down ? "descending" : "ascending");
  }

  const head = el("tr", {});
  for (const c of columns) {
    if (c.spark) {
      head.append(el("th", { class: "drawn" }, (a.below ? "≤" : "") + roundTime(a.low) + " – " + roundTime(a.high)));
      continue;
    }
    const button = c.button = el("button", { type: "button" }, c.heading);
    button.addEventListener("click", () => {
      down = c === sorted ? !down : !c.name;
      sorted = c;
      show();
    });
    head.append(c.th = el("th", c.name ? { class: "name" } : {}, button));
  }
  $("table").tHead.append(head);
  if (data.rows.length) {
    $("table").tFoot.append(el("tr", {}, ...columns.map(c => c.spark ? el("td", {}, spark(data.total, a)) : el("td", c.name ? { class: "name" } : {}, c.name ? "total" : c.text(data.total)))));
  }
  $("filter").addEventListener("input", event => {
    filter = event.target.value.toLowerCase();
    show();
  });
  if (data.groups) {
    choices($("by"), [["true", data.by], ["false", "calls"]], chosen => {
      grouped = chosen === "true";
      show();
    });
    $("by").hidden = false;
  }
  show();
}

// choices are radio buttons, of which the first is chosen.
function choices(set, all, f) {
  all.forEach(([value, text], i) => {
    const button = el("input", { type: "radio", name: set.id, value });
    button.checked = i === 0;
    button.addEventListener("change", () => f(value));
    set.append(el("label", {}, button, " " + text));
  });
}

// ---- The flame graph. Frames are in preorder: those below one come next, up to its end.

function showFlame() {
  const flame = data.flame;
  if (!flame) return;
  const frames = flame.n.length, tall = 18;
  const end = new Array(frames), parent = new Array(frames), path = [];
  for (let i = 0; i <= frames; i++) {
    const depth = i < frames ? flame.d[i] : -1;
    while (path.length > 0 && flame.d[path[path.length - 1]] >= depth) end[path.pop()] = i;
    if (i < frames) {
      parent[i] = path.length ? path[path.length - 1] : -1;
      path.push(i);
    }
  }
  const hues = flame.names.map(name => {
    let hash = 7;
    for (let i = 0; i < Math.min(name.length, 200); i++) hash = (hash * 31 + name.charCodeAt(i)) >>> 0;
    return 8 + hash % 50;
  });
  const isCall = i => end[i] === i + 1 && flame.names[flame.n[i]].startsWith("sys_");
  const metrics = { l: ["time in calls", flame.l, time], w: ["that without waiting", flame.w, time], c: ["calls", flame.c, count] };
  let metric = "l", zoomed = 0, hits = null, tallest = 0;
  const box = $("frames");

  function add(to, i, x, width, pixels, above) {
    const name = flame.names[flame.n[i]], wide = width * pixels;
    const frame = el("div", { class: "f" + (isCall(i) ? " call" : name.startsWith("[") ? " none" : "") + (wide < 8 ? " thin" : "") + (above ? " above" : "") + (hits && hits[flame.n[i]] ? " hit" : "") });
    frame.frame = i;
    frame.style.left = 100 * x + "%";
    frame.style.width = 100 * width + "%";
    frame.style.top = tall * flame.d[i] + "px";
    frame.style.setProperty("--hue", hues[flame.n[i]]);
    if (wide >= 20) frame.textContent = name.length > 300 ? name.slice(0, 300) : name;
    to.append(frame);
  }
  function draw() {
    const values = metrics[metric][1], whole = values[zoomed], pixels = box.clientWidth || 1000;
    const drawn = document.createDocumentFragment();
    let deepest = flame.d[zoomed], found = 0;
    for (let i = parent[zoomed]; i >= 0; i = parent[i]) add(drawn, i, 0, 1, pixels, true);
    const next = [];
    next[flame.d[zoomed]] = 0;
    let counted = -1; // up to which frame what was found is counted
    for (let i = zoomed; i < end[zoomed];) {
      const depth = flame.d[i], width = whole > 0 ? values[i] / whole : i === zoomed ? 1 : 0, x = next[depth];
      next[depth] += width;
      next[depth + 1] = x;
      if (hits && hits[flame.n[i]] && i >= counted) {
        found += values[i];
        counted = end[i];
      }
      if (width * pixels < 0.5) { // nothing below it is wider, but what is found there counts
        if (hits) for (let j = i + 1; j < end[i]; j++) if (hits[flame.n[j]] && j >= counted) {
          found += values[j];
          counted = end[j];
        }
        i = end[i];
        continue;
      }
      deepest = Math.max(deepest, depth);
      add(drawn, i, x, width, pixels, false);
      i++;
    }
    box.replaceChildren(drawn);
    tallest = Math.max(tallest, tall * (deepest + 1)); // it never shrinks, or the page would jump
    box.style.height = tallest + "px";
    $("reset").disabled = zoomed === 0;
    $("found").textContent = hits ? `found in ${percent(found, whole)} %` : "";
    say(zoomed);
  }
  function say(i) {
    const values = metrics[metric][1], file = flame.files[flame.of[flame.n[i]]];
    $("frame").textContent = `${flame.names[flame.n[i]]}: ${time(flame.l[i])} in ${plural(flame.c[i], "call")}, ${time(flame.w[i])} of it without waiting; ` +
      `${percent(values[i], values[0])} % of all` + (zoomed && i >= zoomed && i < end[zoomed] ? `, ${percent(values[i], values[zoomed])} % of what is shown` : "") + (file ? " (" + file + ")" : "") +
      (i === 0 && flame.out ? `; ${plural(flame.out, "frame")} were too small to be kept` : "");
  }
  function zoom(i) {
    zoomed = i;
    draw();
  }
  box.addEventListener("click", event => { if (event.target.frame !== undefined) zoom(event.target.frame); });
  let under; // the mouse, when it was last moved: what the page itself moves there does not count
  box.addEventListener("mousemove", event => {
    if (event.target === under) return;
    under = event.target;
    say(under.frame !== undefined ? under.frame : zoomed);
  });
  box.addEventListener("mouseleave", () => say(zoomed));
  box.addEventListener("keydown", event => {
    const siblings = [];
    if (zoomed > 0) for (let i = parent[zoomed] + 1; i < end[parent[zoomed]]; i = end[i]) siblings.push(i);
    const at = siblings.indexOf(zoomed);
    const to = { Escape: 0, ArrowUp: parent[zoomed], ArrowDown: end[zoomed] > zoomed + 1 ? zoomed + 1 : -1, ArrowLeft: siblings[at - 1], ArrowRight: siblings[at + 1] }[event.key];
    if (to === undefined || to < 0) return;
    event.preventDefault();
    zoom(to);
  });
  $("reset").addEventListener("click", () => zoom(0));
  $("find").addEventListener("input", event => {
    const text = event.target.value.toLowerCase();
    hits = text ? flame.names.map(name => name.toLowerCase().includes(text)) : null;
    draw();
  });
  choices($("metric"), Object.entries(metrics).map(([key, m]) => [key, m[0]]), chosen => {
    metric = chosen;
    draw();
  });
  $("flame").hidden = false;
  draw();
  let wide = box.clientWidth;
  addEventListener("resize", () => { if (box.clientWidth !== wide) { wide = box.clientWidth; draw(); } });
}

// ---- The rest.

$("line").textContent = data.line || "sysprof";
for (const [name, text] of data.facts) $("facts").append(el("dt", {}, name), el("dd", {}, text));
for (const id of ["cost", "flights", "warnings"]) {
  if (!data[id].length) continue;
  const [first, ...others] = data[id], list = $(id).querySelector("ul");
  if (id === "flights") list.before(el("p", {}, first)); // which says what the others are
  list.append(...(id === "flights" ? others : data[id]).map(line => el("li", {}, line)));
  $(id).hidden = false;
}
showTable();
showTime();
showFlame();
})();
