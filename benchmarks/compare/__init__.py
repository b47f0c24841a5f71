"""The package against other methods, and its ablation."""
