"""Simulated collections whose truth is known: drawn from real queries, or from distributions written down."""
