"""The service: protobuf in and out, hot swap, health and drain; it handles no tensors."""
