import numpy as np
import pytest
from PIL import Image

from analytics.core.errors import InputError
from analytics.core.settings import OcrSettings, Settings
from tests.unit.worker.ocr.documents import drawing, image_bytes, pdf_bytes
from worker.ocr import load
from worker.ocr.load import flattened, load_pages

SETTINGS = Settings()


def pages(content: bytes, settings: Settings = SETTINGS, *, dpi: int = 300) -> list[load.PageImage]:
    return list(load_pages("file", content, settings, dpi=dpi))


def test_sixteen_bits_become_eight_by_scaling_not_by_clipping():
    ramp = np.linspace(0, 65535, 256 * 4, dtype=np.uint16).reshape(4, 256)
    values = np.asarray(flattened(Image.fromarray(ramp)))
    assert values.dtype == np.uint8
    assert values.mean() == pytest.approx(127.5, abs=1)
    assert (values.min(), values.max()) == (0, 255)


def test_floats_are_stretched_over_their_own_range():
    values = np.asarray(flattened(Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))))
    assert values.tolist() == [[0, 128, 255]]
    flat = np.asarray(flattened(Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32))))
    assert flat.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode):
    clear = Image.new(mode, (4, 4), 0)
    assert flattened(clear).convert("L").getextrema() == (255, 255)


def test_a_transparent_colour_of_a_palette_is_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    (page,) = pages(image_bytes(image, "PNG", transparency=0))
    assert page.image.convert("L").getextrema() == (255, 255)


def test_cmyk_and_black_and_white_are_read():
    assert pages(image_bytes(drawing("CMYK"), "JPEG"))[0].image.mode == "RGB"
    assert pages(image_bytes(drawing("1"), "TIFF"))[0].image.mode == "L"


def test_a_photo_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    (page,) = pages(image_bytes(drawing(size=(120, 60)), "JPEG", exif=exif))
    assert (page.width, page.height) == (60, 120)


def test_every_page_of_a_tiff_is_read_and_only_the_first_frame_of_an_animation():
    frames = [drawing(), drawing(size=(80, 40)), drawing()]
    fax = pages(image_bytes(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    assert [(page.number, page.width) for page in fax] == [(1, 120), (2, 80), (3, 120)]
    others = [frames[0], Image.new("RGB", (120, 60), "red")]
    (still,) = pages(image_bytes(others[0], "GIF", save_all=True, append_images=others[1:]))
    assert "only its first frame" in still.warnings[0]


def test_the_resolution_is_the_files_own_or_the_one_asked_for():
    assert pages(image_bytes(drawing(), "PNG", dpi=(200, 200)))[0].dpi == 200
    assert pages(image_bytes(drawing(), "PNG"), dpi=150)[0].dpi == 150
    assert pages(image_bytes(drawing(), "PNG", dpi=(1, 1)), dpi=150)[0].dpi == 150


def test_a_pdf_is_rendered_page_by_page_at_the_resolution_asked_for():
    first, second = pages(pdf_bytes("One", "Two"), dpi=144)
    assert (first.width, first.height, first.dpi) == (800, 400, 144)
    assert second.number == 2
    assert first.image.getextrema()[0] < 100


def test_a_huge_pdf_page_is_rendered_smaller_with_a_warning():
    (page,) = pages(pdf_bytes("Poster", media_box="0 0 14400 14400"))
    assert page.width * page.height <= load.WORKING_PIXELS * 1.01
    assert "very large" in page.warnings[0]


def test_a_large_picture_is_made_smaller_and_remembers_by_how_much(monkeypatch):
    monkeypatch.setattr(load, "WORKING_PIXELS", 1800)
    (page,) = pages(image_bytes(drawing(), "PNG", dpi=(200, 200)))
    assert (page.width, page.height) == (120, 60)
    assert page.image.size == (60, 30)
    assert page.scale == pytest.approx(0.5)
    assert page.dpi == 100


def test_damage_that_only_shows_while_decoding_is_told():
    whole = image_bytes(Image.effect_noise((400, 400), 80), "TIFF", compression="tiff_lzw")
    broken = bytearray(whole)
    broken[len(whole) // 3 : len(whole) // 2] = b"\xff" * (len(whole) // 2 - len(whole) // 3)
    with pytest.raises(InputError, match="cut off or damaged"):
        pages(bytes(broken))


def test_a_later_page_that_is_too_large_is_refused_when_it_comes():
    content = image_bytes(Image.new("1", (10, 10)), "TIFF", save_all=True, append_images=[Image.new("1", (500, 500))])
    reading = load_pages("fax", content, Settings(ocr=OcrSettings(max_pixels=10_000)), dpi=300)
    assert next(reading).number == 1
    with pytest.raises(InputError, match="500 x 500"):
        next(reading)
