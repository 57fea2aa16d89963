"""Latents to token ids: seeded draws, and slots in which the rows of all requests advance."""
