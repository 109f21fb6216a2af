"""Whatever is given in place of a dataset, one clear line comes back."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_samples import fer2013_csv, pack, small_dataset

from fer_edge import archives
from fer_edge.data import load_dataset
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS

CSV = fer2013_csv(small_dataset()).encode()


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _packed(path: Path) -> bytes:
    return pack(path, {"fer2013.csv": CSV}).read_bytes()


def _truncated(path: Path) -> Path:
    return _write(path, _packed(path)[: len(_packed(path)) * 2 // 3])


def _flipped(path: Path) -> Path:
    data = bytearray(_packed(path))
    data[len(data) // 2] ^= 0x10
    return _write(path, bytes(data))


def _picture(path: Path) -> Path:
    cv2.imwrite(str(path), np.arange(2304, dtype=np.uint8).reshape(48, 48))
    return path


def _encrypted(path: Path) -> Path:
    data = bytearray(_packed(path))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return _write(path, bytes(data))


def _folder(path: Path, *files: str) -> Path:
    path.mkdir()
    for file in files:
        (path / file).write_text("nothing of interest")
    return path


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda p: p / "no.csv", "there is no file or folder .*no.csv"),
    "empty csv": (lambda p: _write(p / "fer2013.csv", b""), "fer2013.csv is empty"),
    "header only": (
        lambda p: _write(p / "fer2013.csv", b"emotion,pixels,Usage\n"),
        "fer2013.csv holds no faces, only a header",
    ),
    "other csv": (
        lambda p: _write(p / "iris.csv", b"sepal,petal\n1,2\n"),
        "iris.csv has no column 'pixels'; it begins with 'sepal,petal'",
    ),
    "no usage": (
        lambda p: _write(p / "my.csv", b"emotion,pixels\n"),
        "my.csv has no column 'Usage'",
    ),
    "votes alone": (
        lambda p: _write(p / "fer2013new.csv", b"Usage,Image name,neutral\n"),
        "votes but no faces",
    ),
    "png": (lambda p: _picture(p / "face.png"), "face.png is not a CSV"),
    "jpg named csv": (
        lambda p: _picture(p / "face.jpg").rename(p / "fer2013.csv"),
        "fer2013.csv is not a CSV",
    ),
    "empty gz": (lambda p: _write(p / "fer2013.csv.gz", gzip.compress(b"")), "is empty"),
    "truncated gz": (
        lambda p: _truncated(p / "fer2013.csv.gz"),
        "fer2013.csv.gz is truncated",
    ),
    "truncated tar.gz": (lambda p: _truncated(p / "fer2013.tar.gz"), "fer2013.tar.gz.* is trunc"),
    "truncated tar": (lambda p: _truncated(p / "fer2013.tar"), "fer2013.tar.* is damaged"),
    "truncated zip": (lambda p: _truncated(p / "fer2013.zip"), "fer2013.zip is damaged"),
    "flipped gz": (lambda p: _flipped(p / "fer2013.csv.gz"), "fer2013.csv.gz"),
    "flipped tar.gz": (lambda p: _flipped(p / "fer2013.tar.gz"), "fer2013.tar.gz"),
    "flipped zip": (lambda p: _flipped(p / "fer2013.zip"), "fer2013.zip"),
    "encrypted zip": (lambda p: _encrypted(p / "fer2013.zip"), "fer2013.zip is encrypted"),
    "empty zip": (lambda p: pack(p / "faces.zip", {}), "faces.zip holds no faces: it is empty"),
    "empty folder": (lambda p: _folder(p / "faces"), "holds no faces: it is empty"),
    "folder without faces": (
        lambda p: _folder(p / "faces", "a.txt", "b.txt"),
        "holds no faces: 2 other files, such as a.txt",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_dataset_is_refused_with_its_name_and_a_hint(case: str, tmp_path: Path) -> None:
    make, message = CASES[case]
    path = make(tmp_path)
    for skip_bad in (False, True):
        with pytest.raises(FerEdgeError, match=message) as refused:
            load_dataset(path, skip_bad=skip_bad and "flipped" not in case)
        assert refused.value.hint
        assert "\n" not in refused.value.message


@pytest.mark.parametrize("name", ["fer2013.csv.gz", "fer2013.tar.gz"])
def test_a_download_that_broke_off_says_after_which_row(name: str, tmp_path: Path) -> None:
    text = fer2013_csv(small_dataset(400)).encode()
    whole = pack(tmp_path / name, {"fer2013.csv": text}).read_bytes()
    path = _write(tmp_path / name, whole[: len(whole) * 3 // 4])
    with pytest.raises(FerEdgeError) as refused:
        load_dataset(path)
    row = int(refused.value.message.split("after row ")[1].rstrip(")"))
    assert 100 < row <= 301


def _tar_of_pictures(path: Path) -> tuple[Path, list[int]]:
    """An archive of twelve faces, and where the header of each stands."""
    face = cv2.imencode(".png", np.arange(2304, dtype=np.uint8).reshape(48, 48))[1].tobytes()
    members = {f"train/{label}/{number}.png": face for label in LABELS[:4] for number in range(3)}
    with tarfile.open(pack(path, members)) as archive:
        return path, [member.offset for member in archive.getmembers()]


@pytest.mark.parametrize("name", ["faces.tar", "faces.tar.gz"])
def test_a_tar_that_ends_between_two_files_is_truncated(name: str, tmp_path: Path) -> None:
    path, headers = _tar_of_pictures(tmp_path / name)
    assert len(load_dataset(path)) == 12
    wrap = gzip.compress if name.endswith("gz") else bytes
    whole = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    for end in (headers[8], headers[8] + 100):
        path.write_bytes(wrap(whole[:end]))
        with pytest.raises(FerEdgeError, match=f"{name} is truncated"):
            load_dataset(path)


def test_a_tar_with_a_damaged_header_in_its_midst_is_damaged(tmp_path: Path) -> None:
    path, headers = _tar_of_pictures(tmp_path / "faces.tar")
    content = bytearray(path.read_bytes())
    content[headers[8] + 150] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(FerEdgeError, match=r"faces\.tar is damaged: no file's header"):
        load_dataset(path)


ZEROS = b"emotion,pixels,Usage\n" + bytes(80 << 20)


@pytest.mark.parametrize("name", ["fer2013.csv.gz", "fer2013.tar.gz", "fer2013.zip"])
def test_a_bomb_is_refused_by_its_ratio(name: str, tmp_path: Path) -> None:
    path = pack(tmp_path / name, {"pictures.bin" if "csv" not in name else "fer2013.csv": ZEROS})
    if "csv" in name:
        path.write_bytes(gzip.compress(b"emotion,pixels,Usage\n" + (b" " * 60_000 + b"\n") * 1400))
    with pytest.raises(FerEdgeError, match="unpacks to") as refused:
        load_dataset(path)
    assert "exhaust memory" in refused.value.hint


def test_a_crowd_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    for name in ("many.zip", "many.tar.gz"):
        path = pack(tmp_path / name, {f"{number}.txt": b"" for number in range(12)})
        with pytest.raises(FerEdgeError, match="holds more than 10 files"):
            load_dataset(path)


def test_an_unsupported_packing_inside_a_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fer2013.csv", CSV)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + offset] = 99
    path.write_bytes(bytes(data))
    with pytest.raises(FerEdgeError, match=r"fer2013.zip.* is damaged: .*compression"):
        load_dataset(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_is_named_however_it_was_packed(
    method: int, tmp_path: Path
) -> None:
    path = tmp_path / "fer2013.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("fer2013.csv", CSV)
    data = bytearray(path.read_bytes())
    data[60:80] = b"\xff" * 20
    path.write_bytes(bytes(data))
    with pytest.raises(FerEdgeError, match=r"fer2013\.zip:fer2013\.csv is damaged") as refused:
        load_dataset(path)
    assert refused.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "fer2013.csv", CSV)
    path.chmod(0)
    with pytest.raises(FerEdgeError, match="may not be read"):
        load_dataset(path)
