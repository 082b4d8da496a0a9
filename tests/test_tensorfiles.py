from pathlib import Path

import safetensors

from distmerge.tensorfiles import file_header, header_of, packed_header


def test_a_written_header_is_one_that_safetensors_reads(tmp_path: Path) -> None:
    tensors = {"half": ("BF16", (3,), 6), "flag": ("BOOL", (), 1), "whole": ("F32", (2, 2), 16)}
    header = file_header(tensors, {"note": 'näme "x"'})
    (tmp_path / "model").write_bytes(header.content.ljust(header.size_bytes, b"\0"))
    with safetensors.safe_open(tmp_path / "model", framework="pt") as file:
        assert file.metadata() == {"note": 'näme "x"'}
        assert {name: file.get_tensor(name).shape for name in file.keys()} == {  # noqa: SIM118
            "half": (3,),
            "flag": (),
            "whole": (2, 2),
        }
    assert all(header.tensors[name].start % 4 == 0 for name in ("whole", "half"))


def test_the_header_of_a_file_in_memory_is_the_one_that_was_packed() -> None:
    entries = {"__metadata__": {"note": "näme"}, "a": {"dtype": "F32", "shape": [1]}}
    packed = packed_header(entries)
    assert len(packed) % 8 == 0
    assert header_of(packed + b"rest") == (entries, len(packed))
