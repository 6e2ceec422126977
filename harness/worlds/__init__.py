"""The study's synthetic experiment: an encoder trained in a concept world under a pool, and what is measured on it."""
