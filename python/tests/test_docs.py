"""The code of the documents runs: each page's blocks one after another, as a reader would enter them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/PYTHON.md", "python/README.md"])
def test_the_code_of_a_page_runs(page):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    # In a process of its own: settings of JAX or PyTorch that other tests change are not the reader's.
    code = "".join(blocks)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_stubs_document_nothing_that_the_module_does_not():
    import nablas

    assert all(getattr(nablas, name).__doc__ for name in nablas.__all__ if name != "__version__")
