"use strict";
// Where the numbers come from. A browser opened the page (`abe-redis dashboard`): it asks for them itself, again
// and again. Or an MCP client shows it beside an answer of stream_stats: the client sends them, and the page asks
// only when the person does, for each call counts as a sign of life of the agent.

const EVERY_MS = 3000;

// In a browser --------------------------------------------------------------------------------------

function inBrowser() {
  async function look() {
    try {
      const response = await fetch("stats.json");
      const found = await response.json();
      if (response.ok) show(found, new Date());
      else complain(found.error);
    } catch {
      complain("The dashboard does not answer: is `abe-redis dashboard` still running? The numbers are old.");
    }
  }
  async function keepLooking() {
    if (!document.hidden) await look();
    setTimeout(keepLooking, EVERY_MS);
  }
  document.addEventListener("visibilitychange", () => document.hidden || look());
  $("again").addEventListener("click", look);
  keepLooking();
}

// In an MCP client: JSON-RPC in messages to the window around ---------------------------------------

function inClient() {
  const waiting = new Map();
  let asked = 0;
  const say = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const ask = (method, params) =>
    new Promise((resolve, reject) => {
      waiting.set((asked += 1), { resolve, reject });
      say({ id: asked, method, params });
    });

  function dress(context) {
    if (context?.theme) document.documentElement.dataset.theme = context.theme;
  }

  function answered(result) {
    if (result?.isError) complain(result.content?.[0]?.text ?? "The call failed.");
    else if (result?.structuredContent) show(result.structuredContent, new Date());
  }

  let given = {}; // the arguments with which the agent called
  const told = {
    "ui/notifications/tool-input": (params) => (given = params.arguments ?? {}),
    "ui/notifications/tool-result": answered,
    "ui/notifications/host-context-changed": dress,
  };

  window.addEventListener("message", ({ source, data }) => {
    if (source !== parent || data?.jsonrpc !== "2.0") return;
    if (data.method && data.id !== undefined) {
      const known = ["ping", "ui/resource-teardown"].includes(data.method);
      say({ id: data.id, ...(known ? { result: {} } : { error: { code: -32601, message: "Method not found" } }) });
    } else if (data.method) {
      told[data.method]?.(data.params ?? {});
    } else if (waiting.has(data.id)) {
      const { resolve, reject } = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.error) reject(new Error(data.error.message));
      else resolve(data.result);
    }
  });

  $("again").addEventListener("click", () =>
    ask("tools/call", { name: "stream_stats", arguments: given }).then(answered, (error) => complain(error.message)),
  );
  new ResizeObserver(() =>
    say({
      method: "ui/notifications/size-changed",
      params: { width: document.documentElement.scrollWidth, height: document.documentElement.offsetHeight },
    }),
  ).observe(document.documentElement);
  ask("ui/initialize", {
    appInfo: { name: "abe-redis", version: "1" },
    appCapabilities: {},
    protocolVersion: "2026-01-26",
  }).then(
    ({ hostContext, hostCapabilities }) => {
      dress(hostContext);
      $("again").hidden = !hostCapabilities?.serverTools;
      say({ method: "ui/notifications/initialized" });
    },
    (error) => complain(error.message),
  );
}

if (window.parent === window) inBrowser();
else inClient();
