// Messages over stdin and stdout: a length of 4 bytes, big endian, then JSON.

const readSoon = Deno.stdin.read.bind(Deno.stdin);
const readNow = Deno.stdin.readSync.bind(Deno.stdin);
const writeNow = Deno.stdout.writeSync.bind(Deno.stdout);
const decoder = new TextDecoder();
const encoder = new TextEncoder();
const decode = decoder.decode.bind(decoder);
const encode = encoder.encode.bind(encoder);
const { parse, stringify } = JSON;
const Bytes = Uint8Array;
const bound = Function.prototype.call;
const part = bound.bind(Uint8Array.prototype.subarray);

let replyMaxBytes = 1 << 20;

export function limitReplies(bytes) {
  replyMaxBytes = bytes;
}

// The next message, or null at the end. Hooks' timers and promises keep running while it waits for the first byte.
export async function receive() {
  const head = new Bytes(4);
  const first = await readSoon(head);
  if (first === null) return null;
  if (!fill(head, first)) return null;
  const body = new Bytes(((head[0] << 24) | (head[1] << 16) | (head[2] << 8) | head[3]) >>> 0);
  return fill(body, 0) ? parse(decode(body)) : null;
}

// Throws RangeError for a message over the limit.
export function send(message) {
  const body = encode(stringify(message));
  const length = body.length;
  if (length > replyMaxBytes) throw new RangeError("too large");
  writeAll(new Bytes([length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255]));
  writeAll(body);
}

function fill(buffer, from) {
  let at = from;
  while (at < buffer.length) {
    const count = readNow(part(buffer, at));
    if (count === null) return false;
    at += count;
  }
  return true;
}

function writeAll(buffer) {
  let at = 0;
  while (at < buffer.length) at += writeNow(part(buffer, at));
}
