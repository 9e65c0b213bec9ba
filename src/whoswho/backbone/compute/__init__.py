"""Where and how a backbone is run: the device, and the fastest forward pass there."""
