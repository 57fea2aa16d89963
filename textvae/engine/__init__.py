"""Sentences in, sentences out: the only conductor of text, model, latent and decode."""
