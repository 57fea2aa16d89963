"""Sentences to tokens, tokens to batches. Knows no file, no model, no latent."""
