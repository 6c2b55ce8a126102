// Values that hooks return: their texts, their messages, and the sentences for a wrong shape.

const { isArray } = Array;
const date = Function.prototype.call.bind(Date.prototype.toISOString);
const LEVELS = { __proto__: null, info: true, warning: true, error: true };

export class Shape extends Error {}

export function kind(value) {
  if (value === null) return "null";
  return isArray(value) ? "an array" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !isArray(value);
}

// The displayed text of a value; arrays are joined with the field's delimiter, and null is empty.
export function textOf(value, key, delimiter) {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
    case "boolean":
    case "bigint":
      return `${value}`;
  }
  if (value === null) return "";
  if (value instanceof Date) return date(value);
  if (!isArray(value)) throw new Shape(`gave ${kind(value)} as the value of the field ${key}.`);
  let text = "";
  for (let at = 0; at < value.length; at++) {
    if (isArray(value[at])) throw new Shape(`gave an array of arrays as the value of the field ${key}.`);
    text += (at ? (delimiter ?? ",") : "") + textOf(value[at], key);
  }
  return text;
}

// [[message, level], ...] of an info array; the level is error if none of the three is given.
export function messagesOf(info, key) {
  if (!isArray(info)) throw new Shape(`gave ${kind(info)} as the info of the field ${key}; it must be an array.`);
  const messages = [];
  for (let at = 0; at < info.length; at++) {
    const item = info[at];
    if (!isObject(item) || typeof item.message !== "string") {
      throw new Shape(`gave an info for the field ${key} that is no {message, level}.`);
    }
    messages[at] = [item.message, LEVELS[item.level] ? item.level : "error"];
  }
  return messages;
}

export function optionsOf(options, key) {
  if (!isArray(options)) throw new Shape(`gave ${kind(options)} as the selectOptions of the field ${key}.`);
  return options;
}
