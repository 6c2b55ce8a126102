"""What a person does with a deployed stack: every `bulkhead cloud` command is one method of `ops.client.Operations`.

Owns reading the stack's outputs, the status of its batches, redrive, and the doctor's checks. May import the rest of
`runner.cloud`; no function imports it at run time except `ops.stack` for the names of the outputs.

- output: a value that `template.yaml` gives out, such as `TableName`.
- check: one question of `bulkhead cloud doctor`, answered by a `Finding` with a hint.
"""
