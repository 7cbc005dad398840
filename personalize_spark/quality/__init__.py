"""How good a ranking is, and how far two outputs differ."""
