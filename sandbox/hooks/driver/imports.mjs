// Code of hooks without imports: no text that is evaluated here has the word in it that could load a module.

const WORD = "import";
const ESCAPED = "imp\\u006frt";
const STAND_IN = "__import";

const call = Function.prototype.call;
const indexOf = call.bind(String.prototype.indexOf);
const slice = call.bind(String.prototype.slice);
const evaluate = globalThis.eval;
const Parsed = Function;
const { apply, construct, getPrototypeOf } = Reflect;
const { defineProperty } = Object;
const Wrapped = Proxy;
const HookError = Error;
const reject = Promise.reject.bind(Promise);

// Text, names, and properties mean the same with the escape; as a keyword, it is a SyntaxError.
export function escaped(text) {
  const parts = split(text);
  let made = parts[0];
  for (let at = 1; at < parts.length; at++) made += ESCAPED + parts[at];
  return made;
}

// The same expression, whose calls of import() are refused when they happen.
export function withoutImports(source) {
  const all = escaped(source);
  if (all === source || parses(all) || !parses(source)) return all;
  const parts = split(source);
  const words = [];
  for (let at = 1; at < parts.length; at++) {
    words[at] = ESCAPED;
    if (!parses(joined(parts, words))) words[at] = STAND_IN;
  }
  return joined(parts, words);
}

// Functions that evaluate texts, whoever has them and however they are reached, get no import past this either.
export function guardEvaluation() {
  defineProperty(globalThis, STAND_IN, { __proto__: null, value: refuse });
  guard(globalThis, "eval", wrapped(evaluate, (value) => (typeof value === "string" ? escaped(value) : value)));
  const samples = [function () {}, async function () {}, function* () {}, async function* () {}];
  for (let at = 0; at < samples.length; at++) {
    const prototype = getPrototypeOf(samples[at]);
    guard(prototype, "constructor", wrapped(prototype.constructor, (value) => escaped(`${value}`)));
  }
  guard(globalThis, "Function", Parsed.prototype.constructor);
  for (const name of ["setTimeout", "setInterval"]) guard(globalThis, name, withoutTexts(name, globalThis[name]));
}

function guard(owner, name, value) {
  defineProperty(owner, name, { __proto__: null, value, writable: true, configurable: true, enumerable: false });
}

// `original` with each of its arguments changed.
function wrapped(original, change) {
  return new Wrapped(original, {
    __proto__: null,
    apply: (_, self, values) => apply(original, self, changed(values, change)),
    construct: (_, values, target) => construct(original, changed(values, change), target),
  });
}

function changed(values, change) {
  const made = [];
  for (let at = 0; at < values.length; at++) define(made, at, change(values[at]));
  return made;
}

function define(list, at, value) {
  defineProperty(list, at, { __proto__: null, value, writable: true, configurable: true, enumerable: true });
}

// Timers evaluate texts, too; nobody needs that.
function withoutTexts(name, original) {
  return new Wrapped(original, {
    __proto__: null,
    apply(_, self, values) {
      if (typeof values[0] !== "function") throw new HookError(`${name} needs a function.`);
      return apply(original, self, values);
    },
  });
}

function refuse() {
  return reject(new HookError("Hooks may not do this here: load a module."));
}

function parses(source) {
  try {
    new Parsed(`return (${source}\n)`);
    return true;
  } catch {
    return false;
  }
}

function split(text) {
  const parts = [];
  let from = 0;
  for (let at = indexOf(text, WORD); at >= 0; at = indexOf(text, WORD, from)) {
    parts[parts.length] = slice(text, from, at);
    from = at + WORD.length;
  }
  parts[parts.length] = slice(text, from);
  return parts;
}

function joined(parts, words) {
  let made = parts[0];
  for (let at = 1; at < parts.length; at++) made += (words[at] ?? WORD) + parts[at];
  return made;
}
