"""Every setting of the project, declared once: each dataclass field is a TOML key and a flag.

A section of the TOML file is one dataclass of this package; a job takes the sections it needs. A
value out of its range raises InputError when the section is made, whatever its source.
"""
