"""The engine: it alone combines text, model, latent and decode to answer requests."""
