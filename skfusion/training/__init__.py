"""Training of the network through skorch, and the rows that it is given."""
