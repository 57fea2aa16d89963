"""Bulk work: a table in, a table out, exactly once and the same bytes however it is done."""
