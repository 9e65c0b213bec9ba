"""Two models beside each other: what differs, which is better, where a new one stands."""
