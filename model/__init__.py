"""Learning: the network, its weights, voices and their scores."""
