"""Bulkhead on AWS: batches that the functions of a stack process, and the commands that operate a stack.

Owns what a function does with a message, without knowing Lambda (`lambdas/` adds that), and what `bulkhead cloud` asks
a stack. May import every package below it in the order of `tests/test_architecture.py`, up to `runner.local`; never
`runner.check`, `runner.cli`, or `lambdas`.

- stack: one deployment of `template.yaml`; its batches have the driver `stack`, all others the driver `runner`.
- deployment: what every function works with: settings, ledger, queues, the vendor's API, the clock.
- message: a reference to work in a queue; it never holds a state, so a lost or repeated message does no harm.
- enqueue: send a message for an item, an import, or a batch.
- requeue: send the same message again with a delay, and acknowledge the one in hand.
- lease: which function works on something, and until when; it saves work, safety never depends on it.
- rolling batch: the batch of the files that arrive on one day (UTC) in one top-level folder of the inbox.
- load: a batch of everything under one `s3://` prefix, started by a person or a schedule.
- idle: no item of the batch is being worked on, and its listing has ended (or it is a rolling batch).
- dead letter: a message that failed `MAX_RECEIVES` times; its item carries the error code `dead_letter`.
- snapshot: what one pass of reconcile reads of every batch that is not complete.
"""
