"""What one stage hands to the next: a module each, with its one writer and its one reader."""
