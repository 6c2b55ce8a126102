// The global objects of hooks: a console of their own, Node's names, and nothing that could disturb the driver.

const inspect = Deno.inspect;
const writeNow = Deno.stderr.writeSync.bind(Deno.stderr);
const encoder = new TextEncoder();
const encode = encoder.encode.bind(encoder);
const { defineProperty } = Object;
const queue = queueMicrotask;
const now = performance.now.bind(performance);

const HIDDEN = [
  "Deno", "Worker", "alert", "confirm", "prompt", "close", "localStorage", "sessionStorage", "caches", "window", "self",
  "navigator", "location",
];
const SHOWN = { depth: 4, iterableLimit: 100, strAbbreviateSize: 10_000, colors: false };
const CONSOLE = ["log", "info", "debug", "warn", "error", "trace", "dir", "table", "group", "groupCollapsed"];
const SILENT = ["groupEnd", "time", "timeEnd", "timeLog", "count", "countReset", "clear"];

let consoleLeft = 64 << 10;
let background = null;

export function limitConsole(bytes) {
  consoleLeft = bytes;
}

// The first error that a hook's timers or promises raised in the background, as {error}, or null.
export function takeBackground() {
  const taken = background;
  background = null;
  return taken;
}

function write(values) {
  if (consoleLeft <= 0) return;
  let line = "";
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    line += (at ? " " : "") + (typeof value === "string" ? value : inspect(value, SHOWN));
  }
  const bytes = encode(line.slice(0, consoleLeft) + "\n");
  consoleLeft -= bytes.length;
  writeNow(bytes);
}

function show(...values) {
  try {
    write(values);
  } catch {
    // a value that cannot be shown is no reason to fail the hook
  }
}

function hookConsole() {
  const made = { assert: (truth, ...values) => truth || show("Assertion failed:", ...values) };
  for (const name of CONSOLE) made[name] = show;
  for (const name of SILENT) made[name] = () => {};
  return made;
}

function nodeProcess() {
  return {
    env: {},
    argv: [],
    version: "v18.20.8",
    versions: { node: "18.20.8" },
    platform: "linux",
    arch: "x64",
    pid: 1,
    cwd: () => "/",
    uptime: () => now() / 1000,
    nextTick: (run, ...values) => queue(() => run(...values)),
    on() {},
    emitWarning() {},
    stdout: { write: (text) => show(text) },
    stderr: { write: (text) => show(text) },
    exit() {
      throw new Error("process.exit is not available to hooks");
    },
  };
}

function replace(name, value) {
  defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

export function furnish() {
  for (const kind of ["unhandledrejection", "error"]) {
    globalThis.addEventListener(kind, (event) => {
      event.preventDefault();
      background ??= { error: kind === "error" ? event.error : event.reason };
    });
  }
  for (const name of HIDDEN) delete globalThis[name];
  replace("console", hookConsole());
  replace("process", nodeProcess());
  replace("global", globalThis);
}
