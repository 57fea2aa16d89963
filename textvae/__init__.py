"""A sentence VAE that a team trains on its own text and serves over gRPC."""
