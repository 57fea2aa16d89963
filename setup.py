"""The parts in C, which a wheel for any platform leaves out: TEXTVAE_PURE=1 builds that one."""

import os

from setuptools import Extension, setup

FAST = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp"]

# Optional: without a compiler torch does their work.
COMPILED = [
    Extension(
        "textvae.model._native",
        [
            "textvae/model/gates.c",
            "textvae/model/products.c",
            "textvae/model/recurrence.c",
            "textvae/model/softmax.c",
        ],
        depends=["textvae/model/activations.h", "textvae/model/tiles.h"],
        # OpenMP: the threads of torch, whose library is loaded first.
        extra_compile_args=[*FAST, "-Wno-psabi"],
        extra_link_args=["-fopenmp"],
        optional=True,
    ),
    Extension(
        "textvae.decode._native",
        ["textvae/decode/counter.c", "textvae/decode/pick.c"],
        depends=["textvae/model/activations.h"],
        extra_compile_args=FAST,
        extra_link_args=["-fopenmp"],
        optional=True,
    ),
]

setup(ext_modules=[] if os.environ.get("TEXTVAE_PURE") == "1" else COMPILED)
