"""stages: see the modules."""
