"""sqlite: see the modules."""
