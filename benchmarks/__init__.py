"""What it costs: benchmarks beside the peers, results in `results/`."""
