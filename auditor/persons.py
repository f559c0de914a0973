"""Whether two names or addresses are one person's, however they are spelt.

Two pairs of eyes are the whole point of an approval, so doubt counts as sameness: letters that look alike are one
letter; marks, case, spaces and invisible characters do not count, nor does what a mail server drops (`ana+x@`), nor
how a domain is written.
"""

from __future__ import annotations

import re
import unicodedata

_ADDRESS = re.compile(r"<([^<>]*@[^<>]*)>")
_ALIKE = str.maketrans(
    # Cyrillic and Greek letters, and the few others, that look like a Latin one (Unicode TR 39, its best known part)
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
    "\u03b1\u03b2\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131\u0269\u0261\u0251",
    "abekmhopctyxijshdqwabeikvoptuxiiga",
)


def same_person(one: str, other: str) -> bool:
    """Say whether two names or e-mail addresses may be one person's; two empty ones are nobody's."""
    first, second = folded(one), folded(other)
    return bool(first) and first == second


def folded(name: str) -> str:
    """Return a name as one spelling of all its variants; only for comparing."""
    found = _ADDRESS.search(name)
    local, at, domain = (found[1] if found else name).strip().rpartition("@")
    if not at:
        return _skeleton(name)
    return f"{_skeleton(local.partition('+')[0] or local)}@{_skeleton(_domain(domain))}"


def _domain(domain: str) -> str:
    """Return a domain with its letters, where it is written in ASCII (`xn--`)."""
    try:
        return domain.strip().rstrip(".").lower().encode("ascii").decode("idna")
    except (UnicodeError, ValueError):
        return domain.strip().rstrip(".")


def _skeleton(text: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = (char for char in plain if unicodedata.category(char)[0] not in "MCZ")
    return "".join(kept).translate(_ALIKE)
