"""Files of rows: what is read is what was written, or the file is known to be damaged."""

from __future__ import annotations

import pytest
import torch

from tlx.features.segments import _PAGE, Damaged, Segment, SegmentWriter, Shape, segments


def write(folder, rows, keys=None, label="eval"):
    writer = SegmentWriter(folder, label)
    names = keys or [bytes([i]) * 16 for i in range(len(rows))]
    half = len(rows) // 2
    writer.append(rows[:half], names[:half])
    writer.append(rows[half:], names[half:])
    writer.commit()
    return writer.path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (7, 3)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_rows_come_back_as_they_were(tmp_path, dtype, shape, channels_last):
    """Guards against values, order, type or memory layout that change on the way."""
    rows = torch.randn(6, *shape).to(dtype)
    if channels_last and rows.ndim == 4:
        rows = rows.contiguous(memory_format=torch.channels_last)
    segment = Segment(write(tmp_path, rows))
    taken = segment.shape.from_memory(segment.take(torch.tensor([4, 0, 4])))
    assert torch.equal(taken, rows[[4, 0, 4]])
    assert taken.dtype == dtype
    assert taken.stride() == rows[[4, 0, 4]].contiguous(memory_format=_layout(rows)).stride()
    assert segment.keys == [bytes([i]) * 16 for i in range(6)]


def _layout(rows):
    last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def test_every_damaged_byte_is_noticed(tmp_path):
    """Guards against training on rows of a file that a disk or another program has changed."""
    path = write(tmp_path, torch.randn(4, 3))
    whole = path.read_bytes()
    header = len(whole[:_PAGE].rstrip(b"\0"))
    for place in [*range(header), *range(_PAGE, len(whole))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Damaged):
            Segment(path)
    for length in (0, 10, _PAGE, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            Segment(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(Damaged):
        Segment(path)
    path.write_bytes(whole)
    assert Segment(path).count == 4


def test_what_is_not_committed_does_not_count(tmp_path):
    """Guards against half a file of a process that was killed."""
    writer = SegmentWriter(tmp_path, "eval")
    writer.append(torch.randn(4, 3), [bytes([i]) * 16 for i in range(4)])
    assert list(segments(tmp_path, "eval")) == []
    assert len(list(tmp_path.iterdir())) == 1
    writer.discard()
    assert list(tmp_path.iterdir()) == []
    empty = SegmentWriter(tmp_path, "eval")
    empty.commit()
    assert list(tmp_path.iterdir()) == []


def test_labels_are_kept_apart(tmp_path):
    """Guards against rows of one augmented view that pass for those of another."""
    one, other = (write(tmp_path, torch.randn(4, 3), label=label) for label in ("aa", "ab"))
    assert list(segments(tmp_path, "aa")) == [one]
    assert list(segments(tmp_path, "ab")) == [other]


def test_bytes_of_a_row():
    """Guards against a wrong estimate of what a boundary takes."""
    assert Shape((3, 4), "bfloat16").bytes == 24
    assert Shape.of(torch.zeros(2, 3, 4, 5)).bytes == 240


def test_reading_much_keeps_little_memory(tmp_path):
    """Guards against a map of the whole file that counts as this process's memory."""
    rows = torch.randn(4096, 4096)  # 64 MB
    path = write(tmp_path, rows, [i.to_bytes(16, "big") for i in range(4096)])
    del rows
    with open("/proc/self/status", encoding="ascii") as status:
        if "RssFile" not in status.read():
            pytest.skip("this system does not tell how much of the memory is mapped files")

    def mapped() -> int:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssFile")) // 1024

    before = mapped()
    segment = Segment(path)
    most = mapped()
    for start in range(0, 4096, 64):
        segment.take(torch.arange(start, start + 64))
        most = max(most, mapped())
    assert most - before < 40  # MB
