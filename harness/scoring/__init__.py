"""The scoring pass: every aggregator at every length from one multiplication of each document."""
