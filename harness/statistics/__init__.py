"""Measures by query, and the statistics of their degradation."""
