"""The commands: each is a few lines that take an arguments object, call the library, and show the result."""
