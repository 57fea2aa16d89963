"""Every setting of the project, declared once: a dataclass field is a TOML key is a flag.

A section of the TOML file is one dataclass of this package; a job takes the sections it needs. A
value out of its range is an InputError as soon as the section is made, wherever it came from.
"""
