// The `instance` that step hooks and beforeFinish get: it records orders; the import applies them after the hook.

import { isObject, kind, messagesOf, optionsOf, textOf } from "./values.mjs";

const { isArray } = Array;
const { isSafeInteger } = Number;
const clone = structuredClone;
const resolved = Promise.resolve.bind(Promise);

export const fields = { __proto__: null };

let orders = null;
let addedCount = 0;

export function know(field) {
  const type = isArray(field.type) ? field.type[0] : field.type;
  const options = isArray(field.type) ? field.type[1] : undefined;
  fields[field.key] = type === "multi-select" ? (options?.delimiter ?? ",") : ",";
}

// The orders since the last call, or null.
export function takeOrders() {
  const taken = orders;
  orders = null;
  return taken;
}

function asked() {
  orders ??= {
    addedFields: [], removedFields: [], addedRows: [], removedRows: [], messages: [],
    headerRow: null, headerRowGiven: false, user: null, developmentMode: null,
  };
  return orders;
}

function append(list, item) {
  list[list.length] = item;
}

function want(truth, sentence) {
  if (!truth) throw new TypeError(sentence);
}

function addField(field, position) {
  want(isObject(field) && typeof field.key === "string", "addField needs a field with a key");
  const { before, after } = position ?? {};
  const order = { field: clone(field) };
  if (before !== undefined) order.before = `${before}`;
  if (after !== undefined) order.after = `${after}`;
  append(asked().addedFields, order);
  know(field);
  return resolved();
}

function removeField(key) {
  want(typeof key === "string", "removeField needs the key of a field");
  append(asked().removedFields, key);
  delete fields[key];
  return resolved();
}

function addRows(rows) {
  want(isArray(rows), `addRows needs an array of rows, not ${kind(rows)}`);
  const ids = [];
  for (let at = 0; at < rows.length; at++) {
    const row = addedRow(rows[at]);
    append(asked().addedRows, row);
    append(ids, row.id);
  }
  return resolved(ids);
}

function addedRow(given) {
  want(isObject(given) && isObject(given.row), "addRows needs rows of the form {index, row}");
  want(given.index === undefined || given.index === null || isSafeInteger(given.index), "a row's index is a whole number");
  const cells = {};
  for (const key in given.row) {
    if (key in fields && isObject(given.row[key])) cells[key] = addedCell(key, given.row[key]);
  }
  addedCount += 1;
  return { id: `added-${addedCount}`, index: given.index ?? null, cells };
}

function addedCell(key, given) {
  const made = {
    text: textOf(given.value ?? null, key, fields[key]),
    infos: messagesOf(given.info ?? [], key),
    options: given.selectOptions === undefined ? null : optionsOf(given.selectOptions, key),
    parts: null,
  };
  if (isArray(given.manyToOne)) {
    made.parts = [];
    for (let at = 0; at < given.manyToOne.length; at++) append(made.parts, addedCell(key, given.manyToOne[at] ?? {}));
  }
  return made;
}

function removeRows(ids) {
  want(isArray(ids), `removeRows needs an array of row ids, not ${kind(ids)}`);
  const { addedRows, removedRows } = asked();
  for (let at = 0; at < ids.length; at++) {
    let found = -1;
    for (let row = 0; row < addedRows.length; row++) if (addedRows[row].id === ids[at]) found = row;
    if (found < 0) append(removedRows, `${ids[at]}`);
    else {
      for (let row = found; row < addedRows.length - 1; row++) addedRows[row] = addedRows[row + 1];
      addedRows.length -= 1;
    }
  }
  return resolved();
}

// Both forms: {rowIndex, fieldKey, level, message} and {rowIndex, fieldKey, messages: [...]}.
function updateInfoMessages(messages) {
  const given = isArray(messages) ? messages : [messages];
  for (let at = 0; at < given.length; at++) {
    const item = given[at];
    want(
      isObject(item) && isSafeInteger(item.rowIndex) && typeof item.fieldKey === "string",
      "updateInfoMessages needs messages of the form {rowIndex, fieldKey, level, message}",
    );
    const each = messagesOf(item.messages ?? [item], item.fieldKey);
    for (let of = 0; of < each.length; of++) {
      append(asked().messages, [item.rowIndex, item.fieldKey, each[of][0], each[of][1]]);
    }
  }
  return resolved();
}

function setHeaderRowOverride(row) {
  want(row === null || (isSafeInteger(row) && row >= 0), "setHeaderRowOverride needs the number of a row, or null");
  asked().headerRow = row;
  asked().headerRowGiven = true;
  return resolved();
}

function setUser(user) {
  want(isObject(user), `setUser needs a user object, not ${kind(user)}`);
  asked().user = clone(user);
  return resolved();
}

function setDevelopmentMode(mode) {
  asked().developmentMode = !!mode;
  return resolved();
}

function setConfirmationMessage() {
  return resolved();
}

export const instance = {
  addField,
  removeField,
  addRows,
  removeRows,
  updateInfoMessages,
  addInfoMessages: updateInfoMessages,
  setHeaderRowOverride,
  setUser,
  setDevelopmentMode,
  setConfirmationMessage,
};
