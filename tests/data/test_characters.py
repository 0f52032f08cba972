from __future__ import annotations

import pytest
import torch

from tlx.base.errors import TlxError
from tlx.data import letters, plates
from tlx.data.catalog import source_of
from tlx.data.sources import drawn_characters as characters
from tlx.data.sources import glyphs
from tlx.data.sources.glyphs import ALPHABETS, alphabet, draw, fonts_for


def everything(images):
    """All pixels and what they show, in the order in which they were drawn."""
    samples = sorted((s for split in images.splits.values() for s in split.samples), key=lambda s: s.source)
    return images.train.pixels, [s.name for s in samples]


def test_alphabets_have_their_letters():
    """Guards against alphabets with gaps, small kana or letters of another."""
    assert {name: len(text) for name, text in ALPHABETS.items()} == {
        "digits": 10, "latin": 26, "latin_small": 26, "greek": 24, "cyrillic": 32, "hiragana": 46, "katakana": 46,
    }  # fmt: skip
    assert alphabet("АБВ") == ("А", "Б", "В")
    assert alphabet([7, "x"]) == ("7", "x")
    for wrong in ("greec", ["a"], ["a", "a"], ["ab", "c"], [" ", "a"]):
        with pytest.raises(TlxError, match="expected"):
            alphabet(wrong)
    with pytest.raises(TlxError, match="did you mean 'cyrillic'"):
        alphabet("cyrilic")


def test_fonts_have_what_they_are_asked_for():
    """Guards against the box that fonts draw for characters that they lack."""
    assert len(fonts_for(ALPHABETS["digits"])) >= 20
    assert len(fonts_for(ALPHABETS["greek"] + ALPHABETS["cyrillic"])) >= 10
    for font in fonts_for(ALPHABETS["latin"]):
        shapes = {draw(one, font).tobytes() for one in ALPHABETS["latin"]}
        assert len(shapes) == 26, font
        assert min(draw(one, font).max() for one in "AIM") == 255
    with pytest.raises(TlxError, match="this machine has a font"):
        fonts_for(["a", "\U000e0fff"])


def test_kana_where_a_font_has_them():
    """Kana come from the machine's own fonts."""
    try:
        fonts_for(ALPHABETS["katakana"])
    except TlxError:
        pytest.skip("no font on this machine has kana")
    assert len(letters("katakana", per_class=2).class_names) == 46


@pytest.mark.slow
@pytest.mark.parametrize("source", [plates, letters])
def test_an_image_is_a_function_of_seed_character_and_number(source):
    """Guards against a set that changes when more of it is asked for, or between two machines' runs."""
    few, names = everything(source("latin", per_class=4))
    more, _ = everything(source("latin", per_class=9))
    assert torch.equal(few, everything(source("latin", per_class=4))[0])
    assert names[:5] == ["A 0", "A 1", "A 2", "A 3", "B 0"]
    same = (few.view(26, 4, *few.shape[1:]).int() - more.view(26, 9, *few.shape[1:])[:, :4].int()).abs()
    assert same.max() <= 1, "but for the rounding of another batch"
    assert not torch.equal(few, everything(source("latin", per_class=4, draw_seed=1))[0])
    assert few.shape[1:] == ((3 if source is plates else 1), 32, 32)


def test_plates_vary_as_plates_do():
    """Guards against plates of one colour, without dirt or all of them unreadable."""
    pixels = everything(plates("digits", per_class=40))[0].float()
    assert pixels.mean((2, 3)).std(0).min() > 30, "colours and light differ"
    contrast = pixels.mean(1).flatten(1).std(1)
    assert contrast.median() > 25
    assert contrast.min() > 2
    edges = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((1, 2, 3))
    assert edges.quantile(0.95) > 2 * edges.quantile(0.05), "some are blurred, some sharp"


def test_a_network_can_read_them():
    """Guards against images that do not show what their label says: nearest neighbours read far more than chance."""
    from sklearn.neighbors import KNeighborsClassifier

    def strokes(split) -> tuple:
        """Difference from the background, whichever is brighter."""
        pixels = split.pixels[[s.source for s in split.samples]].float().mean(1).flatten(1)
        centred = (pixels - pixels.median(1, keepdim=True).values).abs()
        return (centred / centred.std(1, keepdim=True)).numpy(), [s.target for s in split.samples]

    for source, least in ((letters, 0.6), (plates, 0.25)):
        images = source("digits", per_class=80)
        score = KNeighborsClassifier(3).fit(*strokes(images.train)).score(*strokes(images.test))
        assert score > least, (source.__name__, score)


def test_the_catalog_knows_them(node):
    """Guards against a head of another size than there are characters."""
    assert source_of(node("letters", characters="greek")).class_names() == list(ALPHABETS["greek"])
    assert source_of(node("plates", characters=[0, 1])).class_names() == ["0", "1"]
    (mistake,) = source_of(node("letters", characters="greec")).mistakes()
    assert mistake.path == "dataset.characters"
    assert characters.SIDE == 32
    assert glyphs.CANVAS == 64
