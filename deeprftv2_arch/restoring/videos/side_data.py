"""What comes with a frame of a film beside its pixels."""

from typing import cast

import av
from av.sidedata.sidedata import SideData


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """Return what comes with a frame, by FFmpeg's names; nothing if there is a kind that PyAV does not know."""
    try:
        found = [cast(SideData, data) for data in frame.side_data]
        return {data.type.name: bytes(data) for data in found}
    except ValueError:
        return {}
