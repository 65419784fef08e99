"""Metrics, benchmark readers, and a film whose contents are known."""
