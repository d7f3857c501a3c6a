"""Messages on their way in: what becomes a run of an agent, and what is said of quality."""
