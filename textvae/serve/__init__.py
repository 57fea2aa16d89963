"""The service: protobuf in and out, hot swap, health and drain; it handles no tensors."""

from textvae.installation import check_start

check_start(__name__)
