"""The registry: a model is a folder of versions, of what judges them, and of what served when."""
