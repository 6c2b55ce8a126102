"""A batch run by one process: what `run`, `resume`, `track`, `plan`, `doctor`, and the repairs do.

May import stages and everything below them; not cloud, check, or cli.

- *run*: one pass of a process over a batch; a batch may need several.
- *pipeline*: the stages of a run over bounded queues.
- *feeder*: puts unfinished and queued items of the ledger into the pipeline.
- *in flight*: taken from the ledger, and not yet released by a stage.
- *deferred*: left to a later run, because no request for the item succeeds.
- *settling*: finding out, after a quiet period, what became of lost creates.
- *ledger watcher*: tracks a batch whose items webhooks move.
- *batch lease*: the right of one run at a time to work on a batch of a shared ledger.
- *resources*: ledger, API, storage, and pacer, opened once and shared by all calls of one `Bulkhead`.
- *plan*, *explain*: what a run would do with a source, or with one file.
- *doctor*: checks whether everything that a run needs works.
- *reconcile*: compare a batch with the vendor and repair what differs.
- *redrive*: queue failed, rejected, or uncertain items again, on purpose only.
- *outcome*: how a run ends, as a batch state, an exit code, and a sentence.
"""
