"""The terminal: commands, their flags, and how their answers are printed."""
