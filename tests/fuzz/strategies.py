"""Bytes near to good ones: cut, doubled, swapped, changed."""

from hypothesis import strategies as st

TOKENS = (
    b"null", b"true", b"{}", b"[]", b'""', b"NaN", b"-Infinity", b"1e999", b"-0", b"0.1", b"9" * 400, b"\\u0000", b"\\ud800",
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"[" * 300, b'{"a":' * 300, b"&a", b"*a", b"<<: *a", b"!!int", b"!!timestamp", b"!!binary",
    b"!!set", b"0x" + b"f" * 5000, b"1:30", b".inf", b".nan", b"~", b"|", b"2026-02-30", b"2026-11-22T08:00:00+99:99",
    b"$current_chapter", b"(a+)+$", "\u202e\u0000é".encode(), b"\r\n", b"\n\n", b": ", b"ce_id: x", b"dead_letter_offset: 1",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds with up to six changes, or any bytes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 24)))
        match draw(st.sampled_from(("replace", "token", "cut", "double", "join"))):
            case "replace":
                data[at:end] = draw(st.binary(max_size=8))
            case "token":
                data[at:end] = draw(st.sampled_from(TOKENS))
            case "cut":
                del data[at : draw(st.integers(at, len(data)))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(0, 400))]
            case _:
                other = draw(st.sampled_from(seeds))
                data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)
