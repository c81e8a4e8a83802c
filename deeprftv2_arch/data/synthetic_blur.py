"""The blur of hand-held photographs, made from a sharp one as a camera makes it.

What happens, in this order, and how every quantity is distributed, is said of :class:`BlurSettings`. An
:class:`Exposure` is everything random about one image; :func:`expose` is what follows from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.data.camera_path import CameraPath, Points, length_of, smooth_path, splat, straight_path
from deeprftv2_arch.data.light import FloatImage, linear_of_levels, linear_to_srgb, srgb_to_linear
from deeprftv2_arch.errors import OptionError

Image = NDArray[np.uint8]
Range = tuple[float, float]

MOMENTS = (8, 96)  # of an exposure, at least and at most; in between one for every half pixel of the longest path
DECAYS = (1.0, 2.5)  # of the amplitudes of a smooth path
WHITE = 0.8  # linear light from which on a highlight may have been brighter than the photograph shows


@dataclass(frozen=True, kw_only=True)
class BlurSettings:
    """What blurred images are like. Shares are probabilities 0..1; ranges are (lowest, highest).

    Attributes:
        sharp: Share of pairs that are not blurred at all; with noise and JPEG or without, both images are the same.
        resample: Factor by which the sharp photograph is shrunk first, uniform; 1 leaves it.
        path: Length in pixels of the path of the camera's shift, and of each object's own, log-uniform.
        straight: Share of paths that are straight lines at constant speed; the others are smooth random curves.
        turning: Share of exposures in which the camera also turns and zooms.
        rotation: Of those, the longest path that rotation adds at the photograph's corner, as a part of the shift's;
            uniform from 0.
        zoom: The same of zooming.
        objects: Share of exposures with one to three (equally likely) objects in front, each with a motion of its own
            beside the camera's. The blurred object covers the blurred scene as far as its blurred mask is opaque.
        object_size: Mean radius of an object as a part of the image's shorter side, uniform.
        still: Of exposures with objects, the share in which the camera stands still.
        srgb: Share of exposures that are the mean of sRGB values, as the blurred frames of GoPro are; in the others
            linear light is averaged, as in a camera.
        highlights: Of exposures in linear light, the share in which highlights are brighter than white; they clip after
            blurring.
        brightness: How many times brighter than it shows a white pixel is there, log-uniform.
        defocus: Share of exposures that are out of focus by a disc with a soft edge.
        radius: Radius of that disc in pixels, log-uniform.
        second_depth: Of those, the share in which a part of the image lies at a second depth, with a disc of its own.
        noise: Share of exposures with noise of photons and of reading.
        photons: Variance of the photon noise in linear light of brightness 1, log-uniform.
        reading: Standard deviation of the reading noise in linear light, log-uniform.
        jpeg: Share of images that are saved as JPEG.
        quality: Quality of the JPEG, uniform whole numbers.

    Raises:
        OptionError: A share is not in 0..1, or a range is reversed or out of bounds.
    """

    sharp: float = 0.1
    resample: Range = (0.5, 1.0)
    path: Range = (1.0, 40.0)
    straight: float = 0.3
    turning: float = 0.5
    rotation: float = 0.4
    zoom: float = 0.2
    objects: float = 0.25
    object_size: Range = (0.1, 0.35)
    still: float = 0.3
    srgb: float = 0.5
    highlights: float = 0.3
    brightness: Range = (1.0, 8.0)
    defocus: float = 0.15
    radius: Range = (0.5, 4.0)
    second_depth: float = 0.5
    noise: float = 0.5
    photons: Range = (1e-5, 1e-3)
    reading: Range = (1e-4, 3e-3)
    jpeg: float = 0.4
    quality: tuple[int, int] = (75, 98)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list | tuple):
                object.__setattr__(self, field.name, tuple(value))  # as YAML has lists
                self._check_range(field.name, *value)
            elif not 0 <= value <= 1:
                raise OptionError(f"synthetic blur: {field.name} must be in 0..1, got {value}")

    @staticmethod
    def _check_range(name: str, lowest: float, highest: float) -> None:
        bounds = {"resample": (0.0, 1.0), "quality": (1, 100), "object_size": (0.0, 1.0)}.get(name, (0.0, np.inf))
        if not (0 < lowest <= highest and bounds[0] <= lowest and highest <= bounds[1]):
            raise OptionError(
                f"synthetic blur: {name} must be two numbers above 0 and up to {bounds[1]}, the lower one first, got "
                f"{[lowest, highest]}"
            )


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """A training that begins with short paths.

    Attributes:
        longest: Longest path in pixels of the first pair; it grows evenly to that of the settings.
        pairs: Number of the pair from which on paths are as long as the settings say.
    """

    longest: float
    pairs: int


@dataclass(frozen=True)
class Blob:
    """A round shape with a random outline.

    Attributes:
        centre: (2,) in pixels (x, y).
        radius: Mean radius in pixels.
        waves: (K, 2) amplitude, relative to the radius, and phase of K waves around the outline.
    """

    centre: NDArray[np.float64]
    radius: float
    waves: NDArray[np.float64]

    def covers(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return bool(self._inside(np.array([x]), np.array([y]))[0] > 0)

    def mask(self, height: int, width: int, margin: int, softness: float = 1.0) -> FloatImage:
        """Opacity 0..1 (height + 2 margin, width + 2 margin) float32, falling over ``softness`` pixels at the edge."""
        x = np.arange(-margin, width + margin, dtype=np.float64)
        y = np.arange(-margin, height + margin, dtype=np.float64)[:, None]
        return np.clip(self._inside(x, y) / softness + 0.5, 0, 1).astype(np.float32)

    def _inside(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far points lie inside, measured from the centre, in pixels; negative outside."""
        x, y = x - self.centre[0], y - self.centre[1]
        angle = np.arctan2(y, x)
        outline = 1 + sum(a * np.cos(k * angle + phase) for k, (a, phase) in enumerate(self.waves, 2))
        return np.asarray(self.radius * outline - np.hypot(x, y))


@dataclass(frozen=True)
class MovingObject:
    """Something in front of the scene: its outline at the mean of its path, and its path."""

    shape: Blob
    path: CameraPath


@dataclass(frozen=True)
class Depth:
    """A part of the image that is out of focus by a disc of another radius than the rest."""

    shape: Blob
    radius: float


@dataclass(frozen=True)
class Exposure:
    """Everything random about one image.

    Attributes:
        height: Of the image in pixels.
        width: Of the image in pixels.
        sharp: Whether nothing is blurred.
        camera: The camera's path.
        objects: From back to front.
        linear: Whether linear light is averaged, and not sRGB values.
        brightness: How many times brighter than white highlights are; 1 for none.
        radius: Of the disc of defocus in pixels; 0 for none.
        depth: A second depth, or None.
        photons: Variance of the photon noise at brightness 1.
        reading: Standard deviation of the reading noise.
        noise_seed: Decides the noise; None for an image without.
        quality: Of the JPEG; None for an image that is not one.
        grid: (x, y) 0..7, where in a block of the JPEG the image begins.
    """

    height: int
    width: int
    sharp: bool
    camera: CameraPath
    objects: tuple[MovingObject, ...]
    linear: bool
    brightness: float
    radius: float
    depth: Depth | None
    photons: float
    reading: float
    noise_seed: int | None
    quality: int | None
    grid: tuple[int, int]

    @property
    def margin(self) -> int:
        """By how many pixels the scene must be larger on every side than the image."""
        paths = [self.camera, *(one.path for one in self.objects)]
        return max(path.reach(self.height, self.width) for path in paths) + self.defocus_reach

    @property
    def defocus_reach(self) -> int:
        """Pixels to either side of a point that defocus spreads it over; 0 for none."""
        return disc_reach(max(self.radius, self.depth.radius if self.depth else 0.0))

    def kernel(self, x: float, y: float, size: int) -> FloatImage:
        """Return the motion and defocus of what is seen at a point, as weights (size, size); see CameraPath.kernel."""
        point = np.array([x, y], np.float64)
        path = self.camera
        for one in self.objects:
            if one.shape.covers(x, y):
                path = one.path
        radius = self.depth.radius if self.depth is not None and self.depth.shape.covers(x, y) else self.radius
        kernel = path.kernel(point, size) if not path.is_still else splat(np.zeros((1, 2)), size)
        return np.asarray(cv2.filter2D(kernel, -1, soft_disc(radius), borderType=cv2.BORDER_CONSTANT), np.float32)


def draw_exposure(
    settings: BlurSettings,
    rng: np.random.Generator,
    height: int,
    width: int,
    frame: tuple[float, float, float] | None = None,
    longest: float | None = None,
) -> Exposure:
    """Draw an exposure.

    Args:
        settings: What images are like.
        rng: Decides.
        height: Of the image in pixels.
        width: Of the image in pixels.
        frame: Where in the photograph the image lies: centre (x, y) of the photograph in pixels of the image, and half
            its diagonal; None if the image is all of it.
        longest: Longest path in pixels, if not that of the settings: for a training that begins with short ones.

    Returns:
        The exposure.
    """
    centre_x, centre_y, corner = frame or ((width - 1) / 2, (height - 1) / 2, np.hypot(height, width) / 2)
    sharp = rng.random() < settings.sharp
    count = int(rng.integers(1, 4)) if rng.random() < settings.objects else 0
    still = bool(count) and rng.random() < settings.still
    shortest, farthest = settings.path
    farthest = max(shortest, min(farthest, longest or farthest))
    lengths = [0.0 if still else log_uniform(rng, (shortest, farthest))]
    lengths += [log_uniform(rng, (shortest, farthest)) for _ in range(count)]
    moments = int(np.clip(np.ceil(2 * sum(sorted(lengths)[-2:])), *MOMENTS))
    paths = [_draw_path(settings, rng, moments) * length for length in lengths]
    angle, zoom = np.zeros(moments), np.zeros(moments)
    if rng.random() < settings.turning:
        angle, zoom = (
            lengths[0] / corner * _draw_turn(rng, moments, largest) for largest in (settings.rotation, settings.zoom)
        )
    camera = CameraPath(paths[0], angle, zoom, np.array([centre_x, centre_y]))
    objects = tuple(
        MovingObject(_draw_blob(settings, rng, height, width), camera.followed_by(path)) for path in paths[1:]
    )
    linear = rng.random() >= settings.srgb
    bright = linear and rng.random() < settings.highlights
    radius, depth = 0.0, None
    if rng.random() < settings.defocus:
        radius = log_uniform(rng, settings.radius)
        if rng.random() < settings.second_depth:
            depth = Depth(_draw_blob(settings, rng, height, width), log_uniform(rng, settings.radius))
    noisy = rng.random() < settings.noise
    return Exposure(
        height=height,
        width=width,
        sharp=sharp,
        camera=CameraPath.still() if sharp else camera,
        objects=() if sharp else objects,
        linear=linear,
        brightness=log_uniform(rng, settings.brightness) if bright and not sharp else 1.0,
        radius=0.0 if sharp else radius,
        depth=None if sharp else depth,
        photons=log_uniform(rng, settings.photons) if noisy else 0.0,
        reading=log_uniform(rng, settings.reading) if noisy else 0.0,
        noise_seed=int(rng.integers(2**32)) if noisy else None,
        quality=int(rng.integers(settings.quality[0], settings.quality[1] + 1))
        if rng.random() < settings.jpeg
        else None,
        grid=(int(rng.integers(8)), int(rng.integers(8))),
    )


def expose(exposure: Exposure, scene: Image, textures: Sequence[Image]) -> tuple[Image, Image]:
    """Photograph a scene.

    Args:
        exposure: What happens.
        scene: (height + 2 m, width + 2 m, 3) sRGB of 8 bits, sharp, with the margin m of the exposure; the order of the
            channels does not matter.
        textures: One more such image for every object, of which the object is cut out.

    Returns:
        The blurred and the sharp image, both (height, width, 3) sRGB of 8 bits.
    """
    height, width, margin = exposure.height, exposure.width, exposure.margin
    inner = slice(margin, margin + height), slice(margin, margin + width)
    masks = [one.shape.mask(height, width, margin)[:, :, None] for one in exposure.objects]
    sharp = scene[inner]
    for mask, texture in zip(masks, textures, strict=True):
        sharp = _levels(mask[inner] * texture[inner] / 255 + (1 - mask[inner]) * (sharp / np.float32(255)))
    if exposure.sharp:
        image = _developed(exposure, sharp / np.float32(255), linear=False)
        return image, image
    blurred = _blurred_layer(exposure, exposure.camera, _light(exposure, scene))
    for one, mask, texture in zip(exposure.objects, masks, textures, strict=True):
        layer = np.concatenate([mask * _light(exposure, texture), mask], axis=2)
        layer = _blurred_layer(exposure, one.path, layer)
        blurred = layer[:, :, :3] + (1 - layer[:, :, 3:]) * blurred
    return _developed(exposure, blurred, exposure.linear), np.ascontiguousarray(sharp)


def expose_photograph(
    settings: BlurSettings, rng: np.random.Generator, photograph: Image
) -> tuple[Image, Image, Exposure]:
    """Shrink all of a photograph (H, W, 3), and blur it; the scene beyond its border is its mirror image.

    Returns:
        The blurred and the sharp image, and what happened.
    """
    factor = rng.uniform(*settings.resample)
    height, width = (max(1, round(side * factor)) for side in photograph.shape[:2])
    exposure = draw_exposure(settings, rng, height, width)
    around = [(exposure.margin, exposure.margin)] * 2
    scene = np.pad(shrunk(photograph, height, width), [*around, (0, 0)], mode="reflect")
    textures = [np.ascontiguousarray(scene[:, ::-1])] * len(exposure.objects)
    return *expose(exposure, scene, textures), exposure


def shrunk(image: Image, height: int, width: int) -> Image:
    """Return an image (H, W, 3) in another, smaller size: every pixel is the mean of what it covers."""
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _light(exposure: Exposure, image: Image) -> FloatImage:
    """Return what is averaged over the exposure: linear light, 1 and more in white areas, or sRGB values 0..1."""
    if not exposure.linear:
        levels: FloatImage = image / np.float32(255)
        return levels
    light = linear_of_levels(image)
    if exposure.brightness > 1:
        white = np.clip((light.max(axis=2, keepdims=True) - WHITE) / (1 - WHITE), 0, 1)
        light *= 1 + (exposure.brightness - 1) * white**2
    return light


def _blurred_layer(exposure: Exposure, path: CameraPath, layer: FloatImage) -> FloatImage:
    """Return a layer (height + 2 m, width + 2 m, C) after motion and defocus, (height, width, C)."""
    reach = exposure.defocus_reach
    moved = path.seen_from(-reach, -reach).blur(layer, exposure.margin - reach)
    if reach == 0:
        return moved
    inner = slice(reach, reach + exposure.height), slice(reach, reach + exposure.width)
    blurred = _convolved(moved, soft_disc(exposure.radius))[inner]
    if exposure.depth is not None:
        other = _convolved(moved, soft_disc(exposure.depth.radius))[inner]
        shape, softness = exposure.depth.shape, 1 + 2 * exposure.depth.radius
        share = shape.mask(exposure.height, exposure.width, 0, softness)[:, :, None]
        blurred = share * other + (1 - share) * blurred
    return blurred


def _convolved(image: FloatImage, kernel: FloatImage) -> FloatImage:
    return np.asarray(cv2.filter2D(image, -1, kernel), np.float32).reshape(image.shape)


def soft_disc(radius: float) -> FloatImage:
    """Return the blur of a lens out of focus: a disc whose edge falls over one pixel, (2 r + 1, 2 r + 1), sum 1."""
    reach = disc_reach(radius)
    offsets = np.arange(-reach, reach + 1)
    disc = np.clip(radius + 0.5 - np.hypot(offsets, offsets[:, None]), 0, 1)
    normalised: FloatImage = (disc / disc.sum()).astype(np.float32)
    return normalised


def disc_reach(radius: float) -> int:
    """Pixels to either side of the middle that :func:`soft_disc` has; 0 for the radius 0."""
    return int(np.ceil(radius + 0.5)) - 1 if radius > 0.5 else 0


def _developed(exposure: Exposure, image: FloatImage, linear: bool) -> Image:
    """Return what a camera saves of an exposed image (height, width, 3): noisy, clipped, in sRGB of 8 bits, as JPEG."""
    if exposure.noise_seed is not None:
        light = image if linear else srgb_to_linear(image)
        normal = np.random.default_rng(exposure.noise_seed).standard_normal(light.shape, np.float32)
        variance = np.float32(exposure.photons) * np.maximum(light, 0) + np.float32(exposure.reading**2)
        image, linear = light + np.sqrt(variance) * normal, True
    levels = _levels(linear_to_srgb(np.clip(image, 0, 1)) if linear else image)
    return levels if exposure.quality is None else _as_jpeg(levels, exposure.quality, exposure.grid)


def _levels(srgb: FloatImage) -> Image:
    """sRGB values, clipped to 0..1, in 8 bits."""
    return np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


def _as_jpeg(image: Image, quality: int, grid: tuple[int, int]) -> Image:
    """Return an image after it was saved as JPEG whose blocks begin ``grid`` (x, y) pixels before it."""
    left, top = grid
    framed = cv2.copyMakeBorder(image, top, 0, left, 0, cv2.BORDER_REPLICATE)
    _, data = cv2.imencode(".jpg", framed, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[top:, left:])


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Return a number between two bounds above 0 whose logarithm is uniform."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _draw_path(settings: BlurSettings, rng: np.random.Generator, moments: int) -> Points:
    """Return a path (moments, 2) of length 1 and mean zero."""
    if rng.random() < settings.straight:
        return straight_path(rng, moments)
    path = smooth_path(rng, 2, moments, rng.uniform(*DECAYS))
    return path / length_of(path)


def _draw_turn(rng: np.random.Generator, moments: int, largest: float) -> NDArray[np.float64]:
    """Return a smooth path (moments,) of a length from 0 to the largest, uniform, and mean zero."""
    path = smooth_path(rng, 1, moments, rng.uniform(*DECAYS))[:, 0]
    return rng.uniform(0, largest) * path / length_of(path[:, None])


def _draw_blob(settings: BlurSettings, rng: np.random.Generator, height: int, width: int) -> Blob:
    waves = np.stack([rng.normal(0, 0.3, 5) / np.arange(2, 7), rng.uniform(0, 2 * np.pi, 5)], axis=1)
    radius = rng.uniform(*settings.object_size) * min(height, width)
    return Blob(rng.uniform(0, 1, 2) * (width, height), radius, waves)
