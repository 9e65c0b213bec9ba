"""Pictures: from any file to the network's input, and which picture goes to which split."""
