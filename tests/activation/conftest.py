"""What the tests of branch and cut share."""

import pytest

from bdnn.activation.engine import compile_kernels


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """Compile the kernels before: on a new machine that takes longer than some time limits."""
    compile_kernels()
