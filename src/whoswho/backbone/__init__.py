"""The backbone: weights, the network, views of a picture, the forward pass, features."""
