"""One file a request: its limits, its plan, its answer. A new operation is one new file here."""
