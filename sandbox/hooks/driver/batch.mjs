// Rows as hooks see them, made from columns, and the changes in a returned row.

import { isObject, kind, messagesOf, optionsOf, Shape, textOf } from "./values.mjs";

const { stringify } = JSON;
const { isArray } = Array;

export class Batch {
  // `fields`: key -> delimiter of every field that a hook may set.
  constructor(wire, fields) {
    this.count = wire.count;
    this.wire = wire;
    this.fields = fields;
    this.entries = [];
    this.byKey = { __proto__: null };
    this.changes = [];
    this.extra = { __proto__: null };
    for (let at = 0; at < wire.columns.length; at++) this.#enter(wire.columns[at]);
    this.lookup = null;
  }

  #enter(column) {
    column.results ??= column.texts;
    column.change = null;
    let entry = this.byKey[column.key];
    if (entry === undefined) {
      entry = { key: column.key, column, parts: column.part === null ? null : [] };
      this.byKey[column.key] = entry;
      this.entries[this.entries.length] = entry;
    }
    if (entry.parts !== null) entry.parts[entry.parts.length] = column;
  }

  indexOf(position) {
    return this.wire.indexes === undefined ? this.wire.first + position : this.wire.indexes[position];
  }

  idOf(position) {
    return this.wire.ids === null ? `row-${this.indexOf(position)}` : this.wire.ids[position];
  }

  // The position of a row's index; undefined for one that is not here.
  positionOf(index) {
    if (this.wire.indexes === undefined) {
      const position = index - this.wire.first;
      return position >= 0 && position < this.count ? position : undefined;
    }
    if (this.lookup === null) {
      this.lookup = { __proto__: null };
      for (let at = 0; at < this.count; at++) this.lookup[this.wire.indexes[at]] = at;
    }
    return this.lookup[index];
  }

  record(position) {
    const row = {};
    const entries = this.entries;
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at];
      row[entry.key] = entry.parts === null ? cell(entry.column, position) : manyCell(entry.parts, position);
    }
    return { row, index: this.indexOf(position), rowId: this.idOf(position) };
  }

  // Note what a hook's answer for a row differs in from what it was given.
  take(position, answer) {
    if (!isObject(answer) || !isObject(answer.row)) {
      throw new Shape(`returned ${isObject(answer) ? "an object without a row" : kind(answer)}; it must return {row}.`);
    }
    const row = answer.row;
    for (const key in row) {
      const given = row[key];
      if (given === undefined || given === null) continue;
      const entry = this.byKey[key];
      if (entry === undefined && !(key in this.fields)) continue;
      if (typeof given !== "object") throw new Shape(`gave ${kind(given)} as the cell ${key}; it must be an object.`);
      if (entry === undefined) this.#takeExtra(position, key, given);
      else if (entry.parts === null) this.#takeCell(position, entry.column, given);
      else this.#takeParts(position, entry.parts, given);
    }
  }

  #takeCell(position, column, given) {
    const value = given.value;
    if (value !== undefined && value !== column.texts[position]) {
      const text = textOf(value, column.key, this.fields[column.key]);
      if (text !== column.texts[position]) note(this.#change(column).texts, position, text);
    }
    const info = given.info;
    if (info !== undefined && info !== null) this.#takeInfo(position, column, info);
    const options = given.selectOptions;
    if (options !== undefined && options !== null) this.#takeOptions(position, column, options);
  }

  #takeInfo(position, column, info) {
    const before = column.infos?.[position];
    if (before === undefined && isArray(info) && info.length === 0) return;
    const messages = messagesOf(info, column.key);
    if (before !== undefined && stringify(before) === stringify(messages)) return;
    note(this.#change(column).infos, position, messages);
  }

  #takeOptions(position, column, options) {
    const before = column.options?.[position];
    if (before !== undefined && stringify(before) === stringify(options)) return;
    note(this.#change(column).options, position, optionsOf(options, column.key));
  }

  #takeParts(position, parts, given) {
    const many = given.manyToOne;
    if (many === undefined || many === null) return;
    if (!isArray(many)) throw new Shape(`gave ${kind(many)} as the manyToOne of the field ${parts[0].key}.`);
    for (let at = 0; at < many.length && at < parts.length; at++) {
      if (isObject(many[at])) this.#takeCell(position, parts[at], many[at]);
    }
  }

  // A field that has no column here: an unmapped one, or one that a step hook added.
  #takeExtra(position, key, given) {
    this.extra[key] ??= { key, part: null, texts: [], change: null };
    this.#takeCell(position, this.extra[key], given);
  }

  // One value of a column hook's answer; its messages are additions.
  takeValue(position, given) {
    this.#takeCell(position, this.entries[0].column, given);
  }

  #change(column) {
    if (column.change === null) {
      column.change = { key: column.key, part: column.part, texts: [[], []], infos: [[], []], options: [[], []] };
      this.changes[this.changes.length] = column.change;
    }
    return column.change;
  }
}

function cell(column, position) {
  const made = { value: column.texts[position], resultValue: column.results[position], info: infoOf(column, position) };
  const options = column.options?.[position];
  if (options !== undefined) made.selectOptions = options;
  return made;
}

function manyCell(parts, position) {
  const cells = [];
  const value = [];
  const resultValue = [];
  for (let at = 0; at < parts.length; at++) {
    cells[at] = cell(parts[at], position);
    value[at] = cells[at].value;
    resultValue[at] = cells[at].resultValue;
  }
  return { value, resultValue, info: [], manyToOne: cells };
}

function infoOf(column, position) {
  const given = column.infos?.[position];
  const info = [];
  if (given === undefined) return info;
  for (let at = 0; at < given.length; at++) info[at] = { message: given[at][0], level: given[at][1] };
  return info;
}

function note(change, position, value) {
  const at = change[0].length;
  if (at > 0 && change[0][at - 1] === position) {
    change[1][at - 1] = value;
    return;
  }
  change[0][at] = position;
  change[1][at] = value;
}
