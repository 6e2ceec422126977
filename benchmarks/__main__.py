"""``make bench``: run every benchmark and print its ratios; results are written beside this file as JSON."""

from benchmarks import scoring

if __name__ == "__main__":
    scoring.main()
