"""What the fuzzers of the doors send: good messages with something wrong, and anything else."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mistudio_contracts.subjects import Subject

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"

Json = Any

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["", "../../etc/passwd", "\x00", "a" * 10_000, "m_" + "0" * 26, 2**63, -1, 0])
)
JUNK: st.SearchStrategy[Json] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=12,
)


def example(subject: Subject) -> Json:
    """Return the contract's own example of a subject's payload."""
    name = subject.pattern.replace("{pool}", "POOL") + ".json"
    return json.loads((EXAMPLES / name).read_text(encoding="utf-8"))


@st.composite
def altered(draw: st.DrawFn, document: Json) -> Json:
    """Change up to three places of a document: another value there, none, or one more."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(found))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["replace", "drop", "add"]))
        if what == "drop":
            del holder[key]
        elif what == "add" and isinstance(holder, dict):
            holder[draw(st.text(max_size=20))] = draw(JUNK)
        else:
            holder[key] = draw(JUNK)
    return found


def _places(document: Json) -> Any:
    keys: Any = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    for key in keys:
        yield document, key
        yield from _places(document[key])


def rounds(seconds: float, once: Callable[[int], None]) -> int:
    """Call ``once`` with one seed after another until the time is over; return how often."""
    begin, seed, done = time.monotonic(), random.SystemRandom().randrange(2**31), 0
    while time.monotonic() - begin < seconds:
        once(seed + done)
        done += 1
    return done
