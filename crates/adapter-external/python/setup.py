"""Generates the message types from the schema whenever the package is built; none of them is committed."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
PACKAGE = "interlingua_adapter"
SCHEMA = HERE.parent / "proto" / "interlingua" / "adapter" / "v1" / "adapter.proto"
COPY = HERE / "schema" / PACKAGE / "adapter.proto"


def generate() -> None:
    """Writes adapter_pb2.py and its types beside the package's own modules."""
    from grpc_tools import protoc

    if SCHEMA.exists():
        COPY.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SCHEMA, COPY)
    out = HERE / "src"
    arguments = ["protoc", f"-I{HERE / 'schema'}", f"--python_out={out}", f"--pyi_out={out}", str(COPY)]
    if protoc.main(arguments) != 0:
        sys.exit("the schema can't be compiled")


class BuildPy(build_py):
    def run(self) -> None:
        generate()
        super().run()


class Sdist(sdist):
    def run(self) -> None:
        generate()
        super().run()


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
