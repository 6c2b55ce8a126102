"""local: see the modules."""
