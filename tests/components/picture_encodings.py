"""Pictures in many encodings, drawn by Pillow and by a PNG writer of a few lines.

`encodings()` gives each a name. What a viewer shows of it is `rendered`: by Pillow alone, without the product's code.
"""

import io
import itertools
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 21, 34
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
COLOUR_TYPES = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey_alpha", RGB_ALPHA: "rgb_alpha"}
PNG_BITS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}


def drawing():
    """RGBA `(height, width, 4)`: slopes and edges, a transparent corner, a half transparent one."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    channels = [
        columns * 255 // (WIDTH - 1),
        rows * 255 // (HEIGHT - 1),
        (rows + columns) * 255 // (HEIGHT + WIDTH - 2),
    ]
    alpha = np.where((rows < 8) & (columns < 9), 0, np.where((rows > 12) & (columns > 20), 128, 255))
    return np.stack([*channels, alpha], axis=-1).astype(np.uint8)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples, bits, colour_type, interlaced=False, extra=()):
    """Writes samples `(height, width, channels)` of so many bits, each line unfiltered."""
    height, width, _ = samples.shape
    steps = ADAM7 if interlaced else ((0, 0, 1, 1),)
    lines = b""
    for top, left, down, right in steps:
        part = samples[top::down, left::right]
        if part.size:
            lines += b"".join(b"\0" + packed(line.ravel(), bits) for line in part)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in chunks)


def packed(numbers, bits):
    """Numbers of so many bits, one after the other, the last byte filled up with zeros."""
    if bits == 16:
        return numbers.astype(">u2").tobytes()
    if bits == 8:
        return numbers.astype(np.uint8).tobytes()
    spread = numbers[:, np.newaxis] >> np.arange(bits)[::-1] & 1
    return np.packbits(spread.astype(np.uint8).ravel()).tobytes()


def png_encodings():
    """Every legal pair of bits and colour, plain and interlaced, with and without a transparent colour."""
    colours = drawing()
    grey = colours[..., :3].astype(int).mean(axis=-1).astype(np.uint8)
    alpha = colours[..., 3:]
    samples = {
        GREY: grey[..., np.newaxis],
        RGB: colours[..., :3],
        GREY_ALPHA: np.concatenate([grey[..., np.newaxis], alpha], axis=-1),
        RGB_ALPHA: colours,
    }
    for colour_type, all_bits in PNG_BITS.items():
        for bits, interlaced in itertools.product(all_bits, (False, True)):
            extra = []
            if colour_type == PALETTE:
                numbers = (grey.astype(int) >> (8 - bits))[..., np.newaxis]
                entries = np.arange(1 << bits)
                shades = np.stack([entries * 255 // entries.max(), 255 - entries, entries * 7 % 256], axis=-1)
                extra = [(b"PLTE", shades.astype(np.uint8).tobytes())]
                transparent = (b"tRNS", bytes([255, 0, 128][: 1 << bits]))
            else:
                # The same share of white: 3 of 2 bits is 255 of 8.
                numbers = np.round(samples[colour_type] / 255 * ((1 << bits) - 1)).astype(int)
                transparent = (b"tRNS", numbers[10, 10].astype(">u2").tobytes())
            name = f"png {COLOUR_TYPES[colour_type]} {bits} bits{' interlaced' if interlaced else ''}"
            yield name, png(numbers, bits, colour_type, interlaced, extra)
            if colour_type in (GREY, RGB, PALETTE):
                yield f"{name} transparent", png(numbers, bits, colour_type, interlaced, [*extra, transparent])


def saved(image, extension, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=extension, **options)
    return buffer.getvalue()


def picture():
    return Image.fromarray(drawing()[..., :3])


def exif(orientation, order):
    """A camera's note: how to turn the picture."""
    directory = struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + directory


def without_segment(data, marker):
    """A JPEG without its segment of that name."""
    start = data.index(marker)
    (length,) = struct.unpack(">H", data[start + 2 : start + 4])
    return data[:start] + data[start + 2 + length :]


def jpeg_encodings():
    image = picture()
    for quality, subsampling, progressive in itertools.product((60, 95), (0, 1, 2), (False, True)):
        note = f"quality {quality} subsampling {subsampling}{' progressive' if progressive else ''}"
        yield f"jpeg {note}", saved(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    yield "jpeg grey", saved(image.convert("L"), "JPEG", quality=90)
    cmyk = saved(image.convert("CMYK"), "JPEG", quality=90)
    yield "jpeg cmyk adobe", cmyk
    yield "jpeg cmyk without adobe", without_segment(cmyk, b"\xff\xee")
    place = cmyk.index(b"Adobe") + 11
    yield "jpeg ycck", cmyk[:place] + b"\2" + cmyk[place + 1 :]
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
    colours = saved(image, "JPEG", quality=90, subsampling=0)
    yield "jpeg rgb adobe", colours[:2] + adobe + b"\0" + colours[2:]
    yield "jpeg ycc adobe", colours[:2] + adobe + b"\1" + colours[2:]
    yield "jpeg restarts", saved(image, "JPEG", quality=90, restart_marker_blocks=2)
    yield "jpeg filled markers", colours[:2] + b"\xff\xff\xff" + colours[2:]
    yield "jpeg profile and comment", saved(image, "JPEG", quality=90, icc_profile=b"x" * 100_000, comment=b"c" * 300)
    for orientation, order in itertools.product(range(10), "<>"):
        yield f"jpeg orientation {orientation} {order}", saved(image, "JPEG", quality=90, exif=exif(orientation, order))
    yield "jpeg broken exif", saved(image, "JPEG", quality=90, exif=exif(6, "<")[:20])


def bmp_encodings():
    image = picture()
    for mode in ("RGB", "RGBA", "L", "P", "1"):
        yield f"bmp {mode}", saved(Image.fromarray(drawing()).convert(mode), "BMP")
    data = bytearray(saved(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "BMP"))
    data[22:26] = struct.pack("<i", -HEIGHT)
    yield "bmp RGB from the top", bytes(data)


def other_encodings():
    image = picture()
    transparent = Image.fromarray(drawing())
    frames = [image, ImageOps.mirror(image)]
    yield "gif", saved(image, "GIF")
    yield "gif transparent", saved(transparent, "GIF")
    yield "gif animated", saved(image, "GIF", save_all=True, append_images=frames[1:])
    yield "png animated", saved(image, "PNG", save_all=True, append_images=frames[1:])
    yield "png orientation", saved(image, "PNG", exif=exif(6, ">"))
    yield "png profile and text", saved(image, "PNG", icc_profile=b"x" * 100, dpi=(72, 72))
    yield "webp", saved(image, "WEBP", quality=90)
    yield "webp lossless", saved(transparent, "WEBP", lossless=True)
    yield "webp animated", saved(image, "WEBP", save_all=True, append_images=frames[1:])
    yield "tiff", saved(image, "TIFF")
    yield "tiff lzw", saved(transparent, "TIFF", compression="tiff_lzw")
    yield "tiff orientation", saved(image, "TIFF", exif=orientation_of_tiff(6))
    yield "ppm", saved(image, "PPM")
    yield "ico", saved(image, "ICO")
    yield "nothing", b""
    yield "text", b"no picture"


def orientation_of_tiff(orientation):
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


def encodings():
    """Name to bytes."""
    return dict(itertools.chain(png_encodings(), jpeg_encodings(), bmp_encodings(), other_encodings()))


def rendered(data):
    """What a viewer shows on white: RGB `(height, width, 3)`."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(float)
        shown = np.round(levels / 257)
        if "transparency" in image.info:
            shown = np.where(levels == image.info["transparency"], 255, shown)
        return np.repeat(shown.astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    image = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
