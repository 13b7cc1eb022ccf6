"""Identifiers for what a model calls by any text."""

from __future__ import annotations

import re
import unicodedata

from bdnn.errors import InputError

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")  # C99 tells 31 characters apart in linkers; 40 is ample here

RESERVED = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true "
    "false alignas alignof and asm catch class compl constexpr decltype delete dynamic_cast explicit export friend "
    "mutable namespace new noexcept not nullptr operator or private protected public reinterpret_cast static_assert "
    "static_cast template this thread_local throw try typeid typename using virtual wchar_t xor main "
    "def elif except finally from global import in is lambda none nonlocal pass raise with yield assert async await "
    "del "
    "always assign begin end endcase endfunction endmodule endtask event function initial inout input integer module "
    "negedge output parameter posedge real reg repeat signed task time tri wait wire".split()
)
"""Words that C, C++, Python or Verilog keep for themselves: a name is good in all of them."""

TAKEN = frozenset(
    # headers of the standard library of C, which a file of the same name would hide
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
    "stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype stdc "
    # functions of Python, and modules of MicroPython and boards
    "abs all any array bin binascii bluetooth bool boot btree builtins bytearray bytes callable chr cmath code "
    "collections cryptolib deflate dict dir divmod enumerate eval exec filter format framebuf gc getattr hasattr hash "
    "hashlib heapq hex id input io isinstance issubclass iter json len list machine map max micropython min neopixel "
    "network next object oct open ord os ota platform pow print property random range re repr reversed round "
    "select set "
    "setattr slice socket sorted ssl str struct sum super sys tuple type uctypes vars zip zlib "
    # of Arduino
    "arduino setup loop serial wire spi".split()
)
"""Names of files, functions and modules that an export would hide."""


def checked_name(name: str) -> str:
    """Return a name for the files and functions of an export.

    Raises
    ------
    InputError
        If it is no identifier of all targets.
    """
    word = name.lower() if isinstance(name, str) else ""
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name) or word in RESERVED | TAKEN:
        why = "is no identifier"
        if word in RESERVED | TAKEN:
            why = "is a word of a language" if word in RESERVED else "is that of a header, function or module there"
        raise InputError(
            f"the name {name!r} {why}; give one of letters, digits and underscores that begins with a letter, of at "
            f"most 40 characters (--name)"
        )
    return name


def name_of(text: str) -> str:
    """Return a name made of any text, of a file for example."""
    word = identifier(text).lower()[:40].strip("_")
    word = word if word[:1].isalpha() else f"model_{word}"[:40].strip("_")
    return f"{word}_model" if word in RESERVED | TAKEN else word


def identifier(text: str) -> str:
    """Return a text as a part of an identifier.

    Examples
    --------
    >>> identifier("Größe (cm)"), identifier("?!")
    ('GROSSE_CM', 'X')
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_").upper()[:60] or "X"


class Identifiers:
    """Different identifiers with a common beginning."""

    def __init__(self, prefix: str, taken: tuple[str, ...] = ()) -> None:
        self.prefix = prefix
        self.taken = {f"{prefix}_{word}" for word in taken}

    def new(self, *parts: str) -> str:
        """Return an identifier made of texts that none before has."""
        base = "_".join((self.prefix, *map(identifier, parts)))
        name, number = base, 2
        while name in self.taken:
            name, number = f"{base}_{number}", number + 1
        self.taken.add(name)
        return name
