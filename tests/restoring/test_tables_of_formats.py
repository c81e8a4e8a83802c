"""The tables in docs/restore_formats.md and docs/films.md: each cell is seen by a test, and there are enough of these.

Whoever adds a row or a column, or renames a test, is told here.
"""

import importlib
import math
from pathlib import Path
from typing import Any

import pytest

from deeprftv2_arch.restoring.image_kinds import IMAGE_EXTENSIONS
from deeprftv2_arch.restoring.image_writing import WRITTEN
from deeprftv2_arch.restoring.videos.containers import VIDEO_EXTENSIONS

DOCS = Path(__file__).parents[2] / "docs"
IMAGES, FILMS = DOCS / "restore_formats.md", DOCS / "films.md"
MODULES = ("test_image_files", "test_images_of_phones", "test_restore_command", "test_films_kept", "test_restore_video")
KINDS, DENSITY = "kinds_that_are_read", "density_is_kept"
TO_ALL = "profile_and_xmp_are_kept_from_every_kind_to_every_format"
COLOURS = "chunks_of_a_png_that_say_what_colours_mean"
UPRIGHT, HEIF, HEIF_10 = "exif_is_kept_upright", "heif_is_upright_with_all_that_it_says", "ten_bits_and_colours_of_hdr"
WRITE, SAID, FIRST = "formats_that_are_written", "losses_are_said", "first_frame_is_said_to_be_the_first"
OF_JP2 = "what_a_jpeg_2000_says_of_itself"
AVIF = "avif_with_alpha_exif_and_xmp_and_more_than_one_frame"

# For every column, the test that sees the cell of each row, whose names are cut at a comma or a parenthesis.
READ: dict[str, dict[str, str]] = {
    "bits": {
        **dict.fromkeys(("PNG", "JPEG", "WebP", "BMP", "GIF"), KINDS),
        "TIFF": "layouts_of_a_tiff",
        "JPEG 2000": "sixteen_bits_of_a_jpeg_2000",
        **dict.fromkeys(("AVIF", "HEIC"), HEIF_10),
    },
    "alpha": {
        "PNG": "transparent_shade_of_a_grey_png",
        "TIFF": "colours_of_a_tiff_that_are_multiplied_by_their_alpha",
        "WebP": KINDS,
        "BMP": "alpha_of_a_bmp",
        "GIF": FIRST,
        "JPEG 2000": "grey_with_alpha_of_a_jpeg_2000",
        "AVIF": AVIF,
        "HEIC": "alpha_and_grey_of_a_heic",
    },
    "Exif": {
        **dict.fromkeys(("PNG", "JPEG", "WebP"), UPRIGHT),
        "TIFF": "exif_is_kept_in_a_tiff_and_out_of_it",
        "JPEG 2000": OF_JP2,
        **dict.fromkeys(("AVIF", "HEIC"), HEIF),
    },
    "ICC": {
        **dict.fromkeys(("PNG", "JPEG", "WebP", "TIFF"), TO_ALL),
        "JPEG 2000": OF_JP2,
        **dict.fromkeys(("AVIF", "HEIC"), HEIF),
    },
    "XMP": {
        **dict.fromkeys(("PNG", "JPEG", "WebP", "TIFF"), TO_ALL),
        "JPEG 2000": OF_JP2,
        **dict.fromkeys(("AVIF", "HEIC"), HEIF),
    },
    "density": {**dict.fromkeys(("PNG", "JPEG", "TIFF"), DENSITY), "BMP": "density_of_a_bmp", "JPEG 2000": OF_JP2},
    "more than one image": {
        **dict.fromkeys(("PNG", "TIFF", "WebP", "GIF"), FIRST),
        "JPEG": "what_is_behind_a_jpeg_is_said_to_be_lost",
        "AVIF": AVIF,
        "HEIC": "of_many_images_of_a_heic_the_one_that_is_shown",
    },
}
ALL_WRITTEN = ("PNG", "JPEG", "WebP", "TIFF")
WRITE_TABLE: dict[str, dict[str, str]] = {
    "bits": dict.fromkeys(ALL_WRITTEN, WRITE),
    "alpha": dict.fromkeys(ALL_WRITTEN, WRITE) | {"JPEG": "name_of_the_result"},
    "Exif": dict.fromkeys(ALL_WRITTEN, UPRIGHT) | {"TIFF": "exif_is_kept_in_a_tiff_and_out_of_it"},
    "ICC": dict.fromkeys(ALL_WRITTEN, TO_ALL) | {"WebP": SAID},
    "XMP": dict.fromkeys(ALL_WRITTEN, TO_ALL),
    "density": dict.fromkeys(ALL_WRITTEN, DENSITY) | {"WebP": SAID},
    "gAMA, cHRM, sRGB, cICP": dict.fromkeys(ALL_WRITTEN, SAID) | {"PNG": COLOURS},
}
# A film's row, and the test that sees its cells.
KEPT = {
    "time of every frame": "every_frame_keeps_its_time",
    "length of the film": "recorder_of_a_browser",
    "pictures that begin after the sound": "pictures_that_begin_after_the_sound",
    "AAC": "other_sound_that_is_copied",
    "other sound": "kinds",
    "damaged sound": "damaged_sound_that_no_mp4_can_hold_is_encoded_anew",
    "sound that cannot be decoded": "sound_that_cannot_be_decoded_is_said_to_be_lost",
    "languages and titles of sounds and subtitles": "languages_titles_and_subtitles",
    "subtitles of MP4s": "subtitles_of_mp4_are_copied",
    "SubRip": "languages_titles_and_subtitles",
    "subtitles that are pictures": "subtitles_that_are_pictures_are_said_to_be_lost",
    "closed captions in the pictures": "what_comes_with_single_frames_is_said_to_be_lost",
    "chapters": "chapters_and_what_a_film_says_of_itself",
    "title": "metadata_of_phones",
    "cover": "cover_and_streams_of_data_are_said_to_be_lost",
    "frames to be turned or mirrored": "turned_frames_and_their_pixels",
    "angles that are no multiple of 90 degrees": "odd_angle_is_said_to_be_left_out",
    "pixels that are not square": "turned_frames_and_their_pixels",
    "BT.601": "colours_and_their_tags",
    "no tags of colours": "film_without_tags_that_grows_to_high_definition_says_how_it_was_meant",
    "RGB": "other_pictures",
    "screen and light of HDR10": "screen_of_hdr10",
    "HDR10+": "what_comes_with_single_frames_is_said_to_be_lost",
    "10 bits": "ten_bits_stay_ten_bits",
    "12 bits and more": "twelve_bits_and_full_resolution_of_colours_are_said_to_be_lost",
    "4:2:2": "twelve_bits_and_full_resolution_of_colours_are_said_to_be_lost",
    "transparency": "transparency_is_said_to_be_left_out",
    "interlaced frames": "interlaced_film_is_said_to_be_one",
}
# Tests each of whose cases reads one image, or more, of a kind of its own; and those of films.
OF_IMAGES = (
    KINDS,
    "layouts_of_a_tiff",
    "transparent_shade_of_a_grey_png",
    "chunks_of_a_png_that_say_what_colours_mean",
)
OF_FILMS = ("kinds", "colours_and_their_tags", "other_pictures")


def rows(document: Path, title: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of the columns of the first table below a title, and the cells of each row by its name."""
    below = document.read_text(encoding="utf-8").split(f"\n## {title}\n")[1]
    lines = below[below.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return head[1:], {cells[0].split(",")[0].split(" (")[0]: cells[1:] for cells in body}


def find_test(name: str) -> Any:
    """Return the function of a test, without the "test_" of its name."""
    found = [getattr(importlib.import_module(module), f"test_{name}", None) for module in MODULES]
    function = next((function for function in found if function is not None), None)
    assert function is not None, f"there is no test_{name} any more; say here which one sees the cell"
    return function


def cases(name: str) -> int:
    """Return with how many sets of arguments a test is run."""
    marks = [mark for mark in getattr(find_test(name), "pytestmark", []) if mark.name == "parametrize"]
    return math.prod(len(list(mark.args[1])) for mark in marks)


@pytest.mark.parametrize(("title", "seen"), [("Read", READ), ("Written", WRITE_TABLE)])
def test_each_cell_of_images_is_seen(title: str, seen: dict[str, dict[str, str]]) -> None:
    columns, table = rows(IMAGES, title)
    for kind, cells in table.items():
        for column, cell in zip(columns, cells, strict=True):
            if cell and column != "names":
                assert kind in seen[column], f"{title}: {kind}, {column}: say here which test sees it"
                find_test(seen[column][kind])


def test_each_cell_of_films_is_seen() -> None:
    _, table = rows(FILMS, "Kept")
    for name in table:
        assert name in KEPT, f"Kept: {name}: say here which test sees it"
        find_test(KEPT[name])


def test_names_in_the_tables_are_those_that_are_read_and_written() -> None:
    for document, extensions in ((IMAGES, IMAGE_EXTENSIONS), (FILMS, VIDEO_EXTENSIONS)):
        columns, table = rows(document, "Read")
        named = [name for cells in table.values() for name in cells[columns.index("names")].split()]
        assert sorted(named) == sorted(extensions)
    assert {name.lower() for name in rows(IMAGES, "Written")[1]} == {"png", "jpeg", "webp", "tiff"}
    assert set(WRITTEN) == {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}


def test_there_are_forty_images_and_ten_films() -> None:
    assert sum(map(cases, OF_IMAGES)) >= 40
    assert sum(map(cases, OF_FILMS)) >= 10
