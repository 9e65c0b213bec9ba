"""The backbone: its weights, the network, views of a picture, the forward pass, stored features."""
