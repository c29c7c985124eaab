"use strict";
// What is shown. Names come from others: they are only ever set as text.

const MOST_LOOKS = 60;
const HEALTH = ["stalled", "unread", "backlog", "paused", "dead_letters", "working", "ok"];
const AGES = {
  under_10s: "under 10 s",
  under_1m: "under 1 min",
  under_10m: "under 10 min",
  under_1h: "under 1 h",
  older: "older",
};
const UNKNOWN = "–";

const $ = (id) => document.getElementById(id);
const looks = new Map(); // per stream: what was seen, the newest last
const toggled = new Map(); // per stream: whether the person opened or closed it

// Words and numbers ---------------------------------------------------------------------------------

const number = (value) => (value == null ? UNKNOWN : value.toLocaleString("en"));
const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

function rate(perMinute) {
  if (perMinute == null) return UNKNOWN;
  return number(perMinute < 10 ? Math.round(perMinute * 10) / 10 : Math.round(perMinute));
}

function duration(seconds) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * length) return `${Math.round(seconds / length)} ${unit}`;
  }
  return `${Math.round(seconds)} s`;
}

function size(bytes) {
  for (const [unit, length] of [["GB", 2 ** 30], ["MB", 2 ** 20], ["kB", 2 ** 10]]) {
    if (bytes >= length) return `${(bytes / length).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

const secondsSince = (time) => Math.max(0, (Date.now() - Date.parse(time)) / 1000);

function sum(values) {
  return values.some((value) => value == null) ? null : values.reduce((all, one) => all + one, 0);
}

// What the looks say together -----------------------------------------------------------------------

/** What a group has yet to finish, and what it lost; null when Redis cannot tell. */
const unfinished = (group) => (group.lag == null ? null : group.pending + group.lag + (group.lost ?? 0));

function remember(streams, at) {
  const names = new Set(streams.map((stream) => stream.stream));
  for (const name of looks.keys()) if (!names.has(name)) looks.delete(name);
  for (const stream of streams) {
    const before = looks.get(stream.stream) ?? [];
    const groups = Object.fromEntries((stream.groups ?? []).map((group) => [group.name, unfinished(group)]));
    const again = before.length && stream.added < before.at(-1).added; // deleted and made anew
    looks.set(stream.stream, [...(again ? [] : before), { at, added: stream.added, groups }].slice(-MOST_LOOKS));
  }
}

function perMinute(stream, value) {
  const seen = looks.get(stream.stream);
  const [first, last] = [seen[0], seen.at(-1)];
  const minutes = (last.at - first.at) / 60000;
  const [from, to] = [value(first), value(last)];
  return minutes > 0 && from != null && to != null ? Math.max(0, (to - from) / minutes) : null;
}

const added = (stream) => perMinute(stream, (look) => look.added);

function finished(stream, group) {
  return perMinute(stream, ({ added: all, groups }) =>
    all == null || groups[group.name] == null ? null : all - groups[group.name],
  );
}

/** Entries per minute since the oldest that the stream still has: what one look alone can say. */
function average(stream) {
  return stream.first_at ? stream.length / Math.max(1, secondsSince(stream.first_at) / 60) : 0;
}

// Drawing -------------------------------------------------------------------------------------------

function make(tag, options = {}, ...children) {
  const { svg, ...attributes } = options;
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function list(facts) {
  return Object.entries(facts)
    .filter(([, fact]) => fact != null)
    .map(([name, fact]) => make("div", {}, make("dt", {}, name), make("dd", {}, fact)));
}

function show(stats, at) {
  const streams = stats.streams ?? [];
  remember(streams, at.getTime());
  const health = stats.health ?? {};
  const all = streams.length + (stats.omitted ?? 0);
  const found = HEALTH.filter((one) => health[one]).map((one) => `${health[one]} ${one.replace("_", " ")}`);
  $("summary").textContent = all ? `${count(all, "stream")}: ${found.join(", ")}` : "No stream exists yet";
  $("when").textContent = `at ${at.toLocaleTimeString("en-GB")}`;
  $("trouble").hidden = true;
  $("problems").replaceChildren(...(stats.problems ?? []).map((one) => make("p", { class: "problem" }, one)));
  const inflow = sum(streams.map(added));
  const groups = streams.flatMap((stream) => (stream.groups ?? []).map((group) => [stream, group]));
  $("totals").replaceChildren(
    ...list({
      "not delivered": number(sum(groups.map(([, group]) => group.lag))),
      pending: number(sum(groups.map(([, group]) => group.pending))),
      "dead letters": number(sum(streams.map((stream) => stream.dead_letters))),
      [inflow == null ? "added / min on average" : "added / min"]: rate(inflow ?? sum(streams.map(average))),
      "finished / min": rate(sum(groups.map(([stream, group]) => finished(stream, group)))),
      "in the outbox": stats.outbox == null ? null : number(stats.outbox.waiting),
      "oldest in the outbox": stats.outbox?.waiting ? duration(stats.outbox.oldest_waiting_seconds) : null,
    }),
  );
  const rank = (stream) => HEALTH.indexOf(stream.health);
  const cards = [...streams].sort((one, other) => rank(one) - rank(other)).map(card);
  const rest = stats.omitted
    ? make("p", { class: "empty" }, `${count(stats.omitted, "more stream")}, none of them worse.`)
    : null;
  const nothing = all ? null : make("p", { class: "empty" }, "Nothing was published yet.");
  $("streams").replaceChildren(...[...cards, rest, nothing].filter(Boolean));
}

function card(stream) {
  const open = toggled.get(stream.stream) ?? stream.health !== "ok";
  const summary = make(
    "summary",
    {},
    make("h2", {}, stream.stream),
    make("span", { class: `badge ${stream.health}` }, stream.health.replace("_", " ")),
  );
  summary.addEventListener("click", () => toggled.set(stream.stream, !summary.parentElement.open));
  const inflow = added(stream);
  const facts = {
    entries: number(stream.length),
    "dead letters": stream.dead_letters ? number(stream.dead_letters) : null,
    "added / min": inflow == null ? `${rate(average(stream))} on average` : rate(inflow),
    newest: stream.last_at ? `${duration(secondsSince(stream.last_at))} ago` : null,
    memory: stream.memory_bytes == null ? null : size(stream.memory_bytes),
  };
  return make(
    "details",
    { class: "stream", open },
    summary,
    make(
      "div",
      {},
      make("p", { class: "advice" }, stream.advice),
      make("dl", { class: "facts" }, ...list(facts)),
      flow(stream),
      ...(stream.groups ?? []).map((group) => groupOf(stream, group)),
    ),
  );
}

/** What was added between each two looks, as a line. */
function flow(stream) {
  const seen = looks.get(stream.stream).filter((look) => look.added != null);
  const steps = seen.slice(1).map((look, index) => (look.added - seen[index].added) / (look.at - seen[index].at));
  const highest = Math.max(...steps, 0);
  if (steps.length < 3 || !highest) return null;
  const points = steps.map((step, index) => {
    const [x, y] = [(index / (steps.length - 1)) * 100, 30 - (step / highest) * 28];
    return `${x.toFixed(2)} ${y.toFixed(2)}`;
  });
  const line = `M${points.join("L")}`;
  return make(
    "svg",
    { svg: true, class: "flow", viewBox: "0 0 100 31", preserveAspectRatio: "none", role: "img" },
    make("title", { svg: true }, `Added over time; at most ${rate(highest * 60000)} per minute`),
    make("path", { svg: true, class: "area", d: `${line}L100 31L0 31Z` }),
    make("path", { svg: true, d: line }),
  );
}

function groupOf(stream, group) {
  const ages = Object.entries(group.pending_by_age ?? {});
  const since = (seconds, id) =>
    seconds == null ? "" : `, the oldest ${duration(seconds)} ago${id == null ? "" : ` (${id})`}`;
  return make(
    "section",
    { class: "group" },
    make("h3", {}, `Group ${group.name}${group.paused ? " (paused)" : ""}`),
    make(
      "dl",
      { class: "facts" },
      ...list({
        "not delivered": number(group.lag) + since(group.oldest_undelivered_seconds, group.oldest_undelivered),
        pending: number(group.pending) + since(group.oldest_pending_seconds, group.oldest_pending),
        "finished / min": rate(finished(stream, group)),
        lost: group.lost ? number(group.lost) : null,
      }),
    ),
    ages.length ? byAge(ages) : null,
    make("ul", { class: "consumers" }, ...(group.consumers ?? []).map(consumer)),
  );
}

function byAge(ages) {
  const said = ages.map(([age, held]) => `${number(held)} ${AGES[age]}`);
  const bars = ages.map(([age, held]) => {
    const bar = make("span", { class: age });
    bar.style.flexGrow = held;
    return bar;
  });
  return make(
    "div",
    {},
    make("div", { class: "ages", role: "img", "aria-label": `Pending by age: ${said.join(", ")}` }, ...bars),
    make("ul", { class: "key" }, ...ages.map(([age], index) => make("li", { class: age }, said[index]))),
  );
}

function consumer(one) {
  const seen = one.alive ? "alive" : `last seen ${duration(one.idle_seconds)} ago`;
  const holds = one.holds ? `, holds ${one.holds} for ${duration(one.held_seconds)}` : "";
  return make("li", { class: one.alive ? null : "away" }, `${one.name}: ${number(one.pending)} pending, ${seen}${holds}`);
}

function complain(sentence) {
  $("trouble").textContent = sentence;
  $("trouble").hidden = false;
}
