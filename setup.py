"""The packages of a wheel: `minillm`, with the folder configs/ inside as `minillm.configs`.

setup.cfg has everything else. A list of packages that are partly found and partly elsewhere cannot
be written there.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["minillm", "minillm.*"]), "minillm.configs"],
    package_dir={"minillm.configs": "configs"},
    package_data={
        "minillm.configs": ["**/*.yaml", "**/*.json"],
        "minillm.reporting.page": ["page.*"],
    },
)
