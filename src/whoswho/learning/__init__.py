"""Learning: where a trunk comes from, its features, the head that learns, and its judgement."""
