"""What the benchmarks share: data, tasks, processes, provenance, tables."""
