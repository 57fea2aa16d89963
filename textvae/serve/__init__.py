"""The service: protobuf in, protobuf out, hot swap, health and drain; no tensor gets here."""
