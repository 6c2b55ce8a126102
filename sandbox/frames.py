"""What the sandbox and its worker processes send each other: pickles behind their length, and a sign of life."""

import pickle

LENGTH_BYTES = 8
BEGUN = b"!"
"""A worker's answer to a job that has arrived."""


def framed(message: object) -> bytes:
    body = pickle.dumps(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length_of(head: bytes) -> int:
    """The length of the pickle behind its first LENGTH_BYTES."""
    return int.from_bytes(head, "big")
