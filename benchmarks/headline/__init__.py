"""Single tasks, each with a target of its own."""
