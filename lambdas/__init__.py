"""The AWS Lambda functions: one module for each handler in template.yaml, over `runner.cloud`.

Owns what Lambda needs: reading events and environment variables, one event loop for each container, secrets, logs, and
metrics. May import `runner`; the webhook's modules (`webhook`, `webhook_body`, `import_hints`, `secrets`, `telemetry`,
`environment`) import nothing heavy, so that it starts fast.

- container: one process of Lambda; it handles one invocation at a time and keeps what it opened.
- record: a message of SQS inside an event.
- import hint: the message that makes collect look at an import.
"""
