"""Feed the readers what they were not written for, and watch: ``python -m fuzzing --inputs 100000 --seed 0``."""
