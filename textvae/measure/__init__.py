"""What a version is worth: tables, judges, the gate, reports and benchmark arms."""
