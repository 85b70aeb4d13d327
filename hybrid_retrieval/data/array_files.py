"""What NumPy raises for a file that is not, or no longer, what `np.save` wrote."""

import tokenize
import zipfile
import zlib

DAMAGED_ARRAY = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
)
"""NumPy parses an array's header as a Python literal, and a ZIP may be encrypted or of another method."""
