"""The vendor's Headless API on a local port, with a real import engine."""
