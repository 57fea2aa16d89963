"""Text: files to sentences, sentences to tokens, tokens to batches. Knows no model, no latent."""
