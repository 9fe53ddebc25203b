"""`python -m benchmarks.autoscaling`: prints the table of docs/autoscaling.md."""

from benchmarks.autoscaling.table import table

if __name__ == "__main__":
    print(table())
