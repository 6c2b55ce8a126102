// The loop of the hooks' process: one message in, one answer out, until the input ends.

import { Batch } from "./batch.mjs";
import { limitReplies, receive, send } from "./frames.mjs";
import { guardEvaluation, withoutImports } from "./imports.mjs";
import { fields, instance, know, takeOrders } from "./instance.mjs";
import { furnish, limitConsole, takeBackground } from "./realm.mjs";
import { isObject, kind, Shape } from "./values.mjs";

const MESSAGE_MAX_CHARACTERS = 2000;
const BEAT_MS = 100;

const exit = Deno.exit;
const evaluate = globalThis.eval;
const immediately = setImmediate;
const now = performance.now.bind(performance);
const { isArray } = Array;
const HookError = Error;
const Later = Promise;

const hooks = [];
let lastPath = null;
let bulk = [];
let bulkAnswers = [];
let bulkPositions = null;
let finishing = [];

class Uncompiled extends Error {}

function compile(source) {
  let made;
  try {
    made = evaluate(`(${withoutImports(source)}\n)`);
  } catch (error) {
    throw new Uncompiled(`does not compile: ${describe(error)}`);
  }
  if (typeof made !== "function") throw new Uncompiled("is not a function.");
  return made;
}

function start(message) {
  limitReplies(message.replyMaxBytes);
  limitConsole(message.consoleMaxBytes);
  for (let at = 0; at < message.fields.length; at++) know(message.fields[at]);
  for (let at = 0; at < message.hooks.length; at++) {
    lastPath = message.hooks[at].path;
    hooks[at] = { path: lastPath, run: compile(message.hooks[at].source) };
  }
  return {};
}

async function step(message) {
  await hooks[message.hook].run(instance, message.data);
  return {};
}

async function column(message) {
  const batch = new Batch(message.batch, fields);
  const values = [];
  const texts = batch.entries[0].column.texts;
  for (let at = 0; at < batch.count; at++) {
    values[at] = { index: batch.indexOf(at), value: texts[at], rowId: batch.idOf(at) };
  }
  const answer = await hooks[message.hook].run(values);
  const items = listOf(answer, "{index, value}");
  for (let at = 0; at < items.length; at++) {
    if (!isObject(items[at])) throw new Shape(`returned ${kind(items[at])} among its values; each must be {index, value}.`);
    const position = batch.positionOf(items[at].index);
    if (position === undefined) throw new Shape("returned a value with an index that it was not given.");
    batch.takeValue(position, items[at]);
  }
  return { columns: batch.changes };
}

async function rows(message) {
  const batch = new Batch(message.batch, fields);
  const run = hooks[message.hook].run;
  const mode = message.mode;
  let beat = now();
  for (let at = 0; at < batch.count; at++) {
    let answer = run(batch.record(at), mode);
    if (typeof answer === "object" && answer !== null && typeof answer.then === "function") answer = await answer;
    if (answer !== undefined && answer !== null) batch.take(at, answer);
    if (now() - beat > BEAT_MS) {
      beat = now();
      send({ next: at });
    }
  }
  return { columns: batch.changes };
}

async function deleted(message) {
  const batch = new Batch(message.batch, fields);
  for (let at = 0; at < batch.count; at++) await hooks[message.hook].run(batch.record(at));
  return {};
}

function bulkLoad(message) {
  bulk[bulk.length] = new Batch(message.batch, fields);
  return {};
}

async function bulkRun(message) {
  const records = [];
  bulkPositions = { __proto__: null };
  bulkAnswers = [];
  for (let of = 0; of < bulk.length; of++) {
    for (let at = 0; at < bulk[of].count; at++) {
      const record = bulk[of].record(at);
      bulkPositions[record.index] = records.length;
      records[records.length] = record;
    }
  }
  const count = records.length;
  const answers = listOf(await hooks[message.hook].run(records, message.mode), "{row, index}");
  for (let at = 0; at < answers.length; at++) {
    if (!isObject(answers[at])) throw new Shape(`returned ${kind(answers[at])} among its rows; each must be {row, index}.`);
    const index = answers[at].index;
    const position = index === undefined ? at : bulkPositions[index];
    if (position === undefined || position >= count) throw new Shape("returned a row with an index that it was not given.");
    bulkAnswers[position] = answers[at];
  }
  bulkPositions = { taken: 0, offset: 0 };
  return {};
}

function bulkTake() {
  const batch = bulk[bulkPositions.taken];
  for (let at = 0; at < batch.count; at++) {
    const answer = bulkAnswers[bulkPositions.offset + at];
    if (answer !== undefined) batch.take(at, answer);
    bulkAnswers[bulkPositions.offset + at] = undefined;
  }
  bulk[bulkPositions.taken] = null;
  bulkPositions.taken += 1;
  bulkPositions.offset += batch.count;
  if (bulkPositions.taken === bulk.length) bulk = [];
  return { columns: batch.changes };
}

function finishLoad(message) {
  for (let at = 0; at < message.rows.length; at++) finishing[finishing.length] = message.rows[at];
  return {};
}

async function finishRun(message) {
  const data = finishing;
  finishing = [];
  const answer = await hooks[message.hook].run(data, message.metadata, instance);
  if (!isObject(answer) || answer.cancel !== true) return { cancelled: false };
  const given = typeof answer.message === "string" ? answer.message : "";
  return { cancelled: true, message: given || "The beforeFinish callback cancelled the import." };
}

// A hook that returns nothing changed nothing: an empty list.
function listOf(answer, form) {
  if (answer === undefined || answer === null) return [];
  if (!isArray(answer)) throw new Shape(`returned ${kind(answer)}; it must return an array of ${form}.`);
  return answer;
}

function check(message) {
  compile(message.source);
  return {};
}

const OPERATIONS = {
  __proto__: null, start, check, step, column, rows, deleted, bulkLoad, bulkRun, bulkTake, finishLoad, finishRun,
};

function describe(error) {
  try {
    return sentenceOf(error).slice(0, MESSAGE_MAX_CHARACTERS);
  } catch {
    return "an error that cannot be shown";
  }
}

function sentenceOf(error) {
  if (!(error instanceof HookError)) return isObject(error) ? `${error.message ?? "an object"}` : `${error}`;
  const text = `${error.message}`;
  const refusal = text.indexOf(", run again with the --allow");
  if (refusal >= 0) return `Hooks may not do this here: ${text.slice(0, refusal)}.`;
  return error.name === "Error" ? text : `${error.name}: ${text}`;
}

function failure(error) {
  if (error instanceof Shape) return { error: error.message, reason: "shape" };
  if (error instanceof Uncompiled) return { error: error.message, reason: "compile", path: lastPath };
  return { error: describe(error), reason: "threw" };
}

async function answer(message) {
  try {
    const left = takeBackground();
    if (left !== null) return { ...failure(left.error), path: lastPath };
    if (message.hook !== undefined) lastPath = hooks[message.hook].path;
    else lastPath = null;
    const reply = await OPERATIONS[message.op](message);
    await new Later(immediately);
    const behind = takeBackground();
    return behind === null ? { ...reply, orders: takeOrders() } : failure(behind.error);
  } catch (error) {
    return failure(error);
  }
}

function reply(message) {
  try {
    send(message);
  } catch (error) {
    const reason = error instanceof RangeError ? "size" : "shape";
    const text = reason === "size" ? "returned more than may be sent back." : `returned what is no JSON: ${describe(error)}`;
    send({ error: text, reason });
  }
}

async function loop() {
  for (let message = await receive(); message !== null; message = await receive()) reply(await answer(message));
  exit(0);
}

// Nothing can wake the loop any more: a hook awaits a promise that never settles.
globalThis.addEventListener("beforeunload", () => {
  reply({ error: "awaits a promise that nothing will ever settle.", reason: "shape" });
  exit(0);
});
furnish();
guardEvaluation();
loop();
