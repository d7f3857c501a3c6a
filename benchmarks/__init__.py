"""What labkit costs beside other ways to execute the same notebooks: `python -m benchmarks`."""
