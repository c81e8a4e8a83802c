"""What goes with the pictures of a film into the restored one: sounds, subtitles, chapters, and what it says of itself.

Each kept stream is a track, which turns the packets of the original into those of an MP4: copied where an MP4 can hold
them, encoded anew where not. All keep their times.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

if TYPE_CHECKING:
    AnyPacket: TypeAlias = Packet[Stream]
else:
    AnyPacket = Packet  # which is generic for type checkers alone

SOUND_IN_MP4 = ("aac", "ac3", "eac3", "alac", "flac", "mp3", "opus")  # copied; other sound becomes AAC
SOUND_RATE = 96_000  # bits per second and channel, of AAC
MOST_SOUND_RATE = 512_000
# Of AAC's channels, by how many there are; others are mixed down to stereo.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
SAMPLES = 1024  # of a frame of AAC
SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
USUAL_SAMPLE_RATE = 48000
SUBTITLE_IN_MP4 = "mov_text"
NO_TEXT = b"\0\0"  # between the others, which FFmpeg adds by itself
TEXT_SUBTITLES = ("subrip", "srt", "ass", "ssa", "webvtt", "text", SUBTITLE_IN_MP4)
STYLED = ("ass", "ssa")
MILLISECOND = Fraction(1, 1000)
NAMES = ("title", "name")  # under which containers keep the title of a stream
# What containers say of the file rather than of the film; a restored one is another file.
TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration", "filesize"}
TECHNICAL |= {"hw", "wm/encodingtime", "handler_name", "vendor_id"}
APPLE = "com."  # begins names of metadata of phones, which an MP4 has in a list of another kind


class Track(Protocol):
    """A stream of the original on its way into the restored film.

    Attributes:
        damaged: How many packets could not be decoded.
    """

    damaged: int

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Yield what becomes of a packet of the original."""

    def finish(self) -> Iterator[AnyPacket]:
        """Yield what is left at the end."""


class Companions:
    """All streams of a film that go with its pictures.

    Args:
        source: The original, opened for reading.
        pictures: The index of its pictures.
        offset: What is subtracted from all times, in seconds.
        target: The restored film, opened for writing; its streams are added here.
        stripped: Whether to leave out what it says of people, places and times.
        copies: Whether sound is copied as it is where an MP4 holds that kind; else all is encoded anew.

    Attributes:
        losses: What is not kept; a phrase each.
        refused: How many packets the restored film did not take.
    """

    def __init__(
        self,
        source: InputContainer,
        pictures: int,
        offset: Fraction,
        target: OutputContainer,
        stripped: bool,
        copies: bool = True,
    ) -> None:
        self.source = source
        self.pictures = pictures
        self.offset = offset
        length = source.duration
        self.end = None if length is None else Fraction((source.start_time or 0) + length, av.time_base) - offset
        self.target = target
        self.copies = copies
        self.losses: list[str] = []
        self.refused = 0
        self.tracks: dict[int, Track] = {}
        for stream in source.streams:
            if stream.index != pictures:
                self._add(stream)
        self._describe(stripped)

    def _add(self, stream: Stream) -> None:
        name = codec_name(stream)
        track: Track
        if isinstance(stream, av.AudioStream) and name in SOUND_IN_MP4 and self.copies:
            track = Copied(stream, self.target)
        elif isinstance(stream, av.AudioStream) and name and stream.codec_context.sample_rate:
            track = Encoded(stream, self.target)
            is_damaged = ", since it is damaged" if name in SOUND_IN_MP4 else ""
            self.losses.append(f"its sound in {name} is encoded anew as AAC{track.mixed}{is_damaged}")
        elif stream.type == "subtitle" and name == SUBTITLE_IN_MP4:
            track = Copied(stream, self.target, without=NO_TEXT)
        elif stream.type == "subtitle" and name in TEXT_SUBTITLES:
            track = Subtitles(stream, self.target)
            if name in STYLED:
                self.losses.append("of its subtitles the text is kept, but not where and how it is shown")
        else:
            self._leave_out(stream, name)
            return
        self.target.streams[-1].metadata.update(_named(stream))
        self.target.streams[-1].disposition = stream.disposition
        self.tracks[stream.index] = track

    def _leave_out(self, stream: Stream, name: str) -> None:
        if stream.type == "video":
            is_cover = bool(stream.disposition & av.stream.Disposition.attached_pic)
            self.losses.append(f"its {'cover' if is_cover else 'second picture'} is left out")
        elif stream.type == "subtitle":
            self.losses.append(f"its subtitles in {name or 'an unknown format'} are left out, since they are pictures")
        elif stream.type == "audio":
            self.losses.append(f"its sound in {name or 'an unknown format'} is left out, since it cannot be decoded")
        elif not self.source.chapters():  # in a QuickTime film they are a stream of data, too
            kind = "fonts and other attachments" if stream.type == "attachment" else "data, such as times or places,"
            self.losses.append(f"its {kind} are left out")

    def _describe(self, stripped: bool) -> None:
        """Carry over chapters, and what the film says of itself."""
        chapters = self.source.chapters()
        for chapter in chapters:
            shift = round(self.offset / (chapter["time_base"] or 1))
            chapter["start"], chapter["end"] = chapter["start"] - shift, chapter["end"] - shift
        if chapters:
            self.target.set_chapters(chapters)
        if not stripped:
            self.target.metadata.update(described(self.source))

    def packets(self) -> Iterator[tuple[Fraction, AnyPacket]]:
        """Yield all packets in the order of the file, and when each begins, in seconds."""
        streams = [self.source.streams[index] for index in self.tracks]
        if not streams:
            return
        begins: dict[int, int] = {}  # of the packet before
        for packet in self._read(streams):
            shift = round(self.offset / packet.time_base)
            packet.dts = (packet.dts or 0) - shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            self._set_length(packet, begins)
            time = packet.dts * packet.time_base
            for one in self.tracks[packet.stream_index].take(packet):
                yield time, one
        for track in self.tracks.values():
            for one in track.finish():
                yield (one.dts or 0) * one.time_base, one

    def losses_at_end(self) -> list[str]:
        """Return what is not kept, when all packets were written."""
        damaged = self.refused + sum(track.damaged for track in self.tracks.values())
        counted = f"of its sound and subtitles {damaged} packets are damaged and left out"
        return self.losses + [counted] * (damaged > 0)

    def _read(self, streams: list[Stream]) -> Iterator[AnyPacket]:
        """Yield the packets of some streams as far as they can be read."""
        try:
            for packet in self.source.demux(streams):
                if packet.size and packet.dts is not None:
                    yield packet
        except av.error.FFmpegError:
            self.losses.append("its sound and subtitles are damaged and end early")

    def _set_length(self, packet: AnyPacket, begins: dict[int, int]) -> None:
        """Give a packet of sound a length: as the one before if it says none, and not beyond the end of the film."""
        if packet.stream.type != "audio":
            return
        begin = packet.pts or 0
        length = packet.duration or begin - begins.get(packet.stream_index, begin)
        beyond = 0 if self.end is None else begin + length - int(self.end / packet.time_base)
        packet.duration = length - beyond if 0 < beyond < length else length
        begins[packet.stream_index] = begin


def codec_name(stream: Stream) -> str:
    """Return what a stream is encoded in; nothing if that is not known."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""


def _named(stream: Stream) -> dict[str, str]:
    """Return language and title of a stream; the title also where players look that know no other place in an MP4."""
    said = stream.metadata
    title = next((said[name] for name in NAMES if name in said), None)
    return {"language": said.get("language", "und")} | ({"title": title, "handler_name": title} if title else {})


def described(container: InputContainer) -> dict[str, str]:
    """Return what a film says of itself, such as its title."""
    said = container.metadata.items()
    # Matroska has capitals.
    keys = {key.lower() if key.isupper() else key: value for key, value in said}
    return {key: value for key, value in keys.items() if key and key not in TECHNICAL and not key.startswith("_")}


def in_list_of_phones(container: InputContainer) -> bool:
    """Tell whether what a film says of itself is to be written as phones do, who have names of their own for it."""
    return any(key.startswith(APPLE) for key in container.metadata)


class Copied:
    """A stream whose packets an MP4 holds as they are.

    Args:
        stream: That of the original.
        target: The restored film.
        without: What packets hold that are left out.
    """

    def __init__(self, stream: Stream, target: OutputContainer, without: bytes = b"") -> None:
        self.stream = target.add_stream_from_template(stream, opaque=True)
        self.without = without
        self.damaged = 0

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Yield the packet, but none of those left out."""
        packet.stream = self.stream
        if not self.without or bytes(packet) != self.without:
            yield packet

    def finish(self) -> Iterator[AnyPacket]:
        """Yield nothing."""
        yield from ()


class Encoded:
    """Sound that becomes AAC; where there is none for a while, there is silence.

    Attributes:
        mixed: What else is done to it, as the end of a phrase.
    """

    def __init__(self, stream: av.AudioStream, target: OutputContainer) -> None:
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in SAMPLE_RATES else USUAL_SAMPLE_RATE
        channels, name = context.layout.nb_channels, context.layout.name
        layout = LAYOUTS.get(channels, "stereo")
        # Files may say how many there are and not where, or call those at the back ones at the side.
        if name.removesuffix("(side)") != layout and not name.endswith("channels"):
            layout = "mono" if channels == 1 else "stereo"
        self.mixed = "" if channels <= 2 or layout != "stereo" else " and mixed down to stereo"
        self.stream = target.add_stream("aac", rate)
        self.stream.codec_context.layout = layout
        self.stream.codec_context.bit_rate = min(
            MOST_SOUND_RATE, SOUND_RATE * self.stream.codec_context.layout.nb_channels
        )
        self.stream.time_base = Fraction(1, rate)
        self.filters = (
            ("aresample", "async=1"),  # silence where nothing is
            ("aformat", f"sample_fmts=fltp:sample_rates={rate}:channel_layouts={layout}"),
            ("asetnsamples", f"nb_out_samples={SAMPLES}:pad=0"),
        )
        self.graph: Graph | None = None
        self.samples: tuple[str, int, str] | None = None  # what the graph is for
        self.damaged = 0

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Yield what is encoded by now."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            sound = cast(av.AudioFrame, frame)
            # Decoders may give other samples than the file announces, and the sound of a broadcast may change.
            samples = sound.format.name, sound.sample_rate, sound.layout.name
            if self.graph is None or samples != self.samples:
                yield from self._empty()
                self.graph, self.samples = self._new_graph(sound), samples
            self.graph.push(sound)
            yield from self._encode(self.graph)

    def finish(self) -> Iterator[AnyPacket]:
        """Yield the rest."""
        yield from self._empty()
        yield from self.stream.encode(None)

    def _new_graph(self, sound: av.AudioFrame) -> Graph:
        graph = Graph()
        source = graph.add_abuffer(
            sample_rate=sound.sample_rate, format=sound.format, layout=sound.layout, time_base=sound.time_base
        )
        nodes = [graph.add(name, arguments) for name, arguments in self.filters]
        graph.link_nodes(source, *nodes, graph.add("abuffersink")).configure()
        return graph

    def _empty(self) -> Iterator[AnyPacket]:
        """Yield what the graph still has."""
        if self.graph is not None:
            self.graph.push(None)
            yield from self._encode(self.graph)

    def _encode(self, graph: Graph) -> Iterator[AnyPacket]:
        while True:
            try:
                frame = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield from self.stream.encode(cast(av.AudioFrame, frame))


class Subtitles:
    """Subtitles of text, which become those of MP4s."""

    def __init__(self, stream: Stream, target: OutputContainer) -> None:
        self.decoder = cast(SubtitleCodecContext, stream.codec_context)
        self.decoder.open(strict=False)
        self.stream = target.add_stream(SUBTITLE_IN_MP4)
        self.encoder = cast(SubtitleCodecContext, self.stream.codec_context)
        self.encoder.subtitle_header = self.decoder.subtitle_header
        self.stream.time_base = self.encoder.time_base = MILLISECOND
        self.damaged = 0

    def take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Yield the packet as one of MP4s."""
        try:
            decoded = self.decoder.decode2(packet)
        except av.error.FFmpegError:
            self.damaged += 1
            return
        if decoded is None or not len(decoded):
            return
        length = round((packet.duration or 0) * packet.time_base / MILLISECOND)
        texts = b"\n".join(cast(AssSubtitle, rectangle).ass for rectangle in decoded)
        one = self.encoder.encode_subtitle(SubtitleSet.create(texts, 0, length))
        one.pts = one.dts = round((packet.pts or 0) * packet.time_base / MILLISECOND)
        one.duration, one.time_base, one.stream = length, MILLISECOND, self.stream
        yield one

    def finish(self) -> Iterator[AnyPacket]:
        """Yield nothing."""
        yield from ()
