"""dromo: see the modules."""
