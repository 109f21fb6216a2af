from __future__ import annotations

import struct
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_samples import pack, small_dataset, spread

from fer_edge.archives import open_source
from fer_edge.data import images, load_dataset
from fer_edge.data.images import as_face, read_gray
from fer_edge.errors import FerEdgeError
from fer_edge.files import PICTURES
from fer_edge.labels import LABELS

FACES = small_dataset(8).faces


def encoded(face: np.ndarray, kind: str = ".png") -> bytes:
    return cv2.imencode(kind, face)[1].tobytes()


def decode_face(data: bytes) -> np.ndarray:
    return as_face(read_gray(data))


def smooth(rows: int, columns: int) -> np.ndarray:
    down, across = np.mgrid[0:rows, 0:columns]
    return (40 + 120 * down / rows + 60 * across / columns).astype(np.uint8)


KAGGLE = {
    "train/angry/Training_10.png": encoded(FACES[0]),
    "train/angry/Training_9.png": encoded(FACES[1]),
    "train/happy/Training_3.png": encoded(FACES[2]),
    "test/sad/PublicTest_1.png": encoded(FACES[3]),
    "test/sad/PrivateTest_2.png": encoded(FACES[4]),
}


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_a_small_picture_takes_little_memory_however_large_one_may_be(
    form: str, tmp_path: Path
) -> None:
    files = {"one.png": encoded(FACES[0])}
    wrap = spread if form == "folder" else pack
    path = wrap(tmp_path / f"one.{form}", files)
    with open_source(path, lambda name: True) as (entry,), entry.open() as stream:
        tracemalloc.start()
        try:
            assert stream.read(256 << 20) == files["one.png"]
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_kaggles_folders_give_labels_and_all_three_splits(form: str, tmp_path: Path) -> None:
    root = {f"archive/{name}": data for name, data in KAGGLE.items()}
    if form == "folder":
        path = spread(tmp_path / "faces", root)
    else:
        path = pack(tmp_path / f"faces.{form}", root)
    loaded = load_dataset(path)
    order = [4, 3, 1, 0, 2]  # by path, with 9 before 10
    np.testing.assert_array_equal(loaded.faces, FACES[order])
    assert [LABELS[target] for target in loaded.targets] == [
        "sad",
        "sad",
        "angry",
        "angry",
        "happy",
    ]
    assert loaded.splits.tolist() == ["PrivateTest", "PublicTest"] + ["Training"] * 3
    assert loaded.name == "faces"


def test_a_linked_folder_is_read_as_the_folder_it_leads_to_and_once(tmp_path: Path) -> None:
    stored = {"disk/a/1.png": encoded(FACES[1]), "disk/b/2.png": encoded(FACES[2])}
    spread(tmp_path, stored | {"mine/sad/3.png": encoded(FACES[0])})
    mine = tmp_path / "mine"
    (mine / "happy").symlink_to("../disk/a")
    (mine / "fear").symlink_to(tmp_path / "disk" / "b")
    (mine / "also sad").symlink_to("sad")
    (tmp_path / "disk" / "b" / "back").symlink_to(mine)
    loaded = load_dataset(mine)
    np.testing.assert_array_equal(loaded.faces, FACES[[2, 1, 0]])
    assert [LABELS[target] for target in loaded.targets] == ["fear", "happy", "sad"]


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    path = spread(tmp_path / "mine", {"sad/1.png": encoded(FACES[0])})
    (path / "happy").symlink_to(tmp_path / "disk" / "happy")
    with pytest.raises(FerEdgeError, match=r"mine/happy is a link that leads nowhere") as refused:
        load_dataset(path, skip_bad=True)
    assert "mount" in refused.value.hint


def test_backslashes_in_a_zips_names_divide_folders(tmp_path: Path) -> None:
    windows = {f"faces\\{name}".replace("/", "\\"): data for name, data in KAGGLE.items()}
    path = pack(tmp_path / "faces.zip", windows | {"faces\\train\\": b""})
    expected = load_dataset(spread(tmp_path / "faces", KAGGLE))
    assert load_dataset(path).fingerprint() == expected.fingerprint()


def test_usual_spellings_of_labels_and_splits_are_understood(tmp_path: Path) -> None:
    names = [
        "Train/Anger/a.png",
        "valid/HAPPINESS/b.jpg",
        "test/sadness/c.jpeg",
        "test/fearful/d.PNG",
        "val/Surprised/e.png",
    ]
    kinds = [".png", ".jpg", ".jpg", ".png", ".png"]
    files = {
        name: encoded(face, kind) for name, face, kind in zip(names, FACES, kinds, strict=False)
    }
    loaded = load_dataset(spread(tmp_path, files))
    found = dict(zip([LABELS[t] for t in loaded.targets], loaded.splits.tolist(), strict=True))
    assert found == {
        "angry": "Training",
        "happy": "PublicTest",
        "sad": "PrivateTest",
        "fear": "PrivateTest",
        "surprise": "PublicTest",
    }


def test_a_folders_split_counts_before_what_another_dataset_called_its_files(
    tmp_path: Path,
) -> None:
    files = {
        "val/happy/train_00001_aligned.png": encoded(FACES[0]),
        "train/happy/test_9.png": encoded(FACES[1]),
        "test/happy/PublicTest_5.png": encoded(FACES[2]),
    }
    loaded = load_dataset(spread(tmp_path / "folders", files))
    assert loaded.splits.tolist() == ["PublicTest", "Training", "PublicTest"]
    alone = {"happy/train_1.png": encoded(FACES[0]), "happy/test_1.png": encoded(FACES[1])}
    loaded = load_dataset(spread(tmp_path / "names", alone))
    assert loaded.splits.tolist() == ["PrivateTest", "Training"]


def test_a_person_called_val_is_no_validation_split(tmp_path: Path) -> None:
    people = {
        "happy/Val_Ackerman_0001.png": encoded(FACES[0]),
        "happy/Abba_Eban_0001.png": encoded(FACES[1]),
    }
    assert load_dataset(spread(tmp_path, people)).split_names == ("all",)


def test_folders_of_labels_alone_are_one_split_called_all(tmp_path: Path) -> None:
    files = {
        "CK+48/anger/S010_1.png": encoded(FACES[0]),
        "CK+48/happy/S010_2.png": encoded(FACES[1]),
    }
    loaded = load_dataset(pack(tmp_path / "CK+48.zip", files))
    assert loaded.split_names == ("all",)


def test_folders_above_the_labels_with_other_names_are_splits_of_that_name(tmp_path: Path) -> None:
    files = {"fold1/sad/1.png": encoded(FACES[0]), "fold2/sad/1.png": encoded(FACES[1])}
    assert load_dataset(spread(tmp_path, files)).split_names == ("fold1", "fold2")


def test_a_folder_that_is_no_label_is_refused_or_left_out(tmp_path: Path) -> None:
    files = {f"train/contempt/{n}.png": encoded(FACES[n]) for n in range(3)}
    files["train/happy/1.png"] = encoded(FACES[4])
    spread(tmp_path, files)
    with pytest.raises(
        FerEdgeError, match=r"contempt/0.png: 'contempt' is no known label \(3 such"
    ):
        load_dataset(tmp_path)
    loaded = load_dataset(tmp_path, skip_bad=True)
    assert len(loaded) == 1
    assert len(loaded.skipped) == 3
    assert "contempt" in loaded.skipped[0]


def test_pictures_that_lie_in_no_labels_folder_are_refused(tmp_path: Path) -> None:
    spread(tmp_path, {"1.png": encoded(FACES[0]), "2.png": encoded(FACES[1])})
    with pytest.raises(FerEdgeError, match=r"1.png: not in a label's folder \(2 such"):
        load_dataset(tmp_path)
    with pytest.raises(FerEdgeError, match="no picture in a folder named after an expression"):
        load_dataset(tmp_path, skip_bad=True)


def test_what_phones_put_behind_a_jpegs_end_is_no_damage(tmp_path: Path) -> None:
    whole = encoded(smooth(96, 96), ".jpg")
    spread(tmp_path, {"sad/1.jpg": whole, "sad/2.MP.jpg": whole + b"\0\0\0\x18ftypmp42" * 900})
    first, second = load_dataset(tmp_path).faces
    np.testing.assert_array_equal(first, second)


def test_other_sizes_say_that_they_want_opencv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread(tmp_path, {"sad/1.png": encoded(smooth(120, 120))})
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FerEdgeError, match="needs the Python module 'cv2'"):
        load_dataset(tmp_path)


def test_any_digit_may_stand_in_a_pictures_name(tmp_path: Path) -> None:
    files = {f"sad/1{digit}3.png": encoded(FACES[n]) for n, digit in enumerate("²٣½")}
    assert len(load_dataset(spread(tmp_path, files))) == 3


@pytest.mark.parametrize("kind", [suffix for suffix in PICTURES if suffix != ".ppm"])
def test_pictures_of_all_kinds_that_run_reads_are_read(kind: str, tmp_path: Path) -> None:
    files = {f"sad/{n}{kind.upper()}": encoded(smooth(96, 96), kind) for n in range(2)}
    loaded = load_dataset(spread(tmp_path, files))
    assert np.abs(loaded.faces[:, :24, :24].astype(int) - smooth(48, 48)[:24, :24]).max() < 8
    whole = files[f"sad/0{kind.upper()}"]
    spread(tmp_path, {f"sad/cut{kind}": whole[: len(whole) * 2 // 3]})
    with pytest.raises(FerEdgeError, match=rf"sad/cut{kind}: .*(truncated|cannot be decoded)"):
        load_dataset(tmp_path)


def test_other_files_in_a_labels_folder_are_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = {"sad/1.png": encoded(FACES[0]), "__MACOSX/sad/._1.png": b"Mac OS X"}
    others = dict.fromkeys(("sad/x.txt", "sad/2.heic", "bored/3.avif"), b"")
    elsewhere = dict.fromkeys(("README.md", "sad/.hidden", "docs/licence/mit.txt"), b"")
    loaded = load_dataset(pack(tmp_path / "my.zip", pictures | others | elsewhere))
    assert len(loaded) == 1
    assert "3 other files were left out, such as my.zip:sad/x.txt" in caplog.text


BAD_PICTURES = {
    "empty": (b"", "an empty file"),
    "text": (b"not a picture at all", "no picture: neither JPEG, PNG"),
    "truncated jpg": (encoded(FACES[0], ".jpg")[:-200], "a truncated JPEG"),
    "truncated png": (encoded(FACES[0])[:-200], "a truncated PNG"),
    "damaged png": (
        encoded(FACES[0]).replace(encoded(FACES[0])[60:64], b"\0\1\2\3"),
        "a checksum is wrong",
    ),
    "headless jpg": (b"\xff\xd8\xff\xd9", "a damaged JPEG"),
    "too small": (encoded(smooth(20, 20)), "20×20 pixels, under 24 on a side"),
    "too oblong": (encoded(smooth(48, 90)), "90×48 pixels, too oblong"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_bad_picture_is_refused_by_its_path_or_skipped(case: str, tmp_path: Path) -> None:
    data, reason = BAD_PICTURES[case]
    name = "train/sad/7.jpg" if "jpg" in case else "train/sad/7.png"
    spread(tmp_path, {name: data, "train/sad/8.png": encoded(FACES[1])})
    with pytest.raises(FerEdgeError, match=reason) as refused:
        load_dataset(tmp_path)
    assert name in refused.value.message
    loaded = load_dataset(tmp_path, skip_bad=True)
    np.testing.assert_array_equal(loaded.faces, FACES[1:2])
    assert len(loaded.skipped) == 1


def _in_other_ways(picture: np.ndarray) -> dict[str, bytes]:
    """Forms that OpenCV writes no picture in, or only when it is told to."""
    lossless = cv2.imencode(".webp", picture, (cv2.IMWRITE_WEBP_QUALITY, 101))[1].tobytes()
    rows, columns = picture.shape
    sides = (columns - 1).to_bytes(3, "little") + (rows - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<II", 10, 0) + sides + encoded(picture, ".webp")[12:]
    size = struct.pack("<I", 4 + len(extended))
    return {
        "lossless webp": lossless,
        "extended webp": b"RIFF" + size + b"WEBP" + extended,
        "pgm with a comment": b"P5 # by hand\n%d\n%d\n255\n" % (columns, rows) + bytes(picture),
        "ppm": encoded(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), ".ppm"),
    }


@pytest.mark.parametrize("kind", [*PICTURES[:-1], *_in_other_ways(smooth(48, 48))])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = smooth(100, 120)
    data = encoded(picture, kind) if kind in PICTURES else _in_other_ways(picture)[kind]
    assert read_gray(data).shape == (100, 120)
    monkeypatch.setattr(images, "_MAX_PIXELS", 99 * 99)
    monkeypatch.setattr(images, "_decoded", lambda data: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="120×100 pixels, too many"):
        decode_face(data)


def test_a_large_square_picture_is_averaged_down() -> None:
    face = decode_face(encoded(np.repeat(np.repeat(FACES[0], 3, 0), 3, 1)))
    np.testing.assert_array_equal(face, FACES[0])


def test_an_oblong_picture_keeps_its_proportions() -> None:
    tall = np.full((120, 96), 200, np.uint8)
    cv2.circle(tall, (48, 60), 30, 0, -1)
    disc = decode_face(encoded(tall)) < 100
    rows, columns = np.flatnonzero(disc.any(1)), np.flatnonzero(disc.any(0))
    assert abs(len(rows) - len(columns)) <= 1


@pytest.mark.parametrize("kind", [".png", ".tiff"])
def test_a_picture_of_16_bits_is_that_of_8(kind: str) -> None:
    deep = cv2.imencode(kind, FACES[0].astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode_face(deep), FACES[0])
