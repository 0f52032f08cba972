import torch
from torchvision.transforms import v2

from tlx.data.augmentation.distortion import Distortion
from tlx.data.box_labels import CLASS, IGNORE, NO_OBJECT, Boxes, BoxLabels, visible


def label() -> Boxes:
    return Boxes.of([(10, 20, 30, 60), (0, 0, 5, 5)], [2, 0], [False, True])


def test_classes_of_an_image_are_those_that_count() -> None:
    """Guards against counting a crowd as an object of its class."""
    assert BoxLabels(4).class_ids(label()) == (2,)


def test_boxes_move_with_a_mirrored_image_and_keep_their_classes() -> None:
    """Guards against boxes that stay where they were, and against rows in another order than their classes."""
    image = torch.zeros(3, 100, 200, dtype=torch.uint8)
    image[:, 20:60, 10:30] = 255
    mirrored, rows = BoxLabels(3).transform(v2.RandomHorizontalFlip(p=1.0), image, label())
    assert rows.shape == (3, 6)
    left, top, right, bottom = (int(edge) for edge in rows[0, :4])
    assert (left, top, right, bottom) == (170, 20, 190, 60)
    assert bool((mirrored[:, top:bottom, left:right] == 255).all())
    assert rows[:, CLASS].tolist() == [2, 0, NO_OBJECT]
    assert rows[:, IGNORE].tolist() == [0, 1, 0]


def test_a_box_mostly_outside_is_ignored_and_one_outside_is_left_out() -> None:
    """Guards against training on a sliver as if it were the object, and on boxes beyond the image."""
    rows = torch.tensor([[-80.0, 0, 20, 10, 1, 0], [-20, 0, 80, 10, 1, 0], [-9, 0, 0, 10, 1, 0]])
    seen = visible(rows, (50, 50))
    assert seen[:, :4].tolist() == [[0, 0, 20, 10], [0, 0, 50, 10]]
    assert seen[:, IGNORE].tolist() == [1, 0]


def test_images_without_objects_collate_and_pad() -> None:
    """Guards against a batch that an image without objects breaks, and against padding that has objects."""
    kind = BoxLabels(2)
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    _, empty = kind.transform(v2.Identity(), image, Boxes.of([], []))
    _, full = kind.transform(v2.Identity(), image, Boxes.of([(1, 1, 4, 4)], [0]))
    taken = kind.take(kind.collate([empty, full]), torch.tensor([1, 0, -1]))
    assert taken[..., CLASS].tolist() == [[0, -1], [-1, -1], [-1, -1]]


def test_only_some_classes_keeps_other_images_as_background() -> None:
    """Guards against leaving out images that show other objects, which teach what is no object."""
    kind = BoxLabels(2)
    assert kind.only(label(), {0: 1}) == Boxes.of([(0, 0, 5, 5)], [1], [True])
    assert kind.only(label(), {7: 0}) == Boxes.of([], [])


def test_keys_differ_where_labels_or_their_stored_shape_do() -> None:
    """Guards against stored labels of another set: they would have another number of rows."""
    moved = Boxes.of([(10, 20, 31, 60), (0, 0, 5, 5)], [2, 0], [False, True])
    keys = {BoxLabels(3).key(label()), BoxLabels(4).key(label()), BoxLabels(3).key(moved)}
    assert len(keys) == 3


def test_a_distortion_moves_boxes_and_removes_those_that_left() -> None:
    """Guards against boxes of no area, on which a loss of boxes is not defined."""
    kind, shift = BoxLabels(1), Distortion(shift=0.4)
    drawn = torch.stack([shift.draw()])
    drawn[0, :6] = torch.tensor([1.0, 0, 1.9, 0, 1, 0])  # everything moves left by nearly the width
    target = torch.tensor([[[2.0, 2, 6, 6, 0, 0]]])
    assert kind.distort(target, shift, drawn, (10, 10))[0, 0, CLASS] == NO_OBJECT
