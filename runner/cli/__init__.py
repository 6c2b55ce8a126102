"""The command line: a thin skin over `runner.bulkhead`; renders progress and maps errors to text and exit codes."""
