"""Sentences to tokens, tokens to batches; without files, models or latents."""
