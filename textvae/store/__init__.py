"""The registry: a model is a folder of versions, their attachments and a log of promotions."""
