"""The commands, each a few lines: read the options, call the library, show what it says."""
