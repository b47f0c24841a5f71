"""How far weights, contributions and probabilities can be trusted."""
