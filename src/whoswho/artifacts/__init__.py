"""What one stage hands to the next: a module for each, with its columns or keys, its one writer and its one reader."""
