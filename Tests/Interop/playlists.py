"""Media playlists read back, and what must hold from one version to the next (RFC 8216bis 6.2.1)."""

from __future__ import annotations

import dataclasses
import datetime
import re
import xml.etree.ElementTree


@dataclasses.dataclass
class Part:
    seconds: float
    address: str
    is_independent: bool


@dataclasses.dataclass
class Playlist:
    target: int = 0
    sequence: int = -1
    discontinuity_sequence: int = -1
    has_end: bool = False
    skipped: int = 0
    hint: str | None = None
    control: dict[str, str] = dataclasses.field(default_factory=dict)
    part_target: float | None = None
    # Address, duration and tags of each segment; the parts in front of the segment of that place.
    entries: list[tuple[str, float, tuple[str, ...]]] = dataclasses.field(default_factory=list)
    parts: dict[int, list[Part]] = dataclasses.field(default_factory=dict)
    # Time of day of the end of all that is listed, of parts, too; seconds since 1970.
    ends_at: float = 0.0

    @property
    def last(self) -> int:
        """Media sequence number of the last whole segment."""
        return self.sequence + self.skipped + len(self.entries) - 1

    @property
    def open_parts(self) -> list[Part]:
        return self.parts.get(len(self.entries), [])

    @property
    def seconds(self) -> float:
        return sum(each[1] for each in self.entries)


def read(text: str) -> Playlist:
    found, tags, seconds = Playlist(), [], 0.0
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "#EXT-X-TARGETDURATION":
            found.target = int(value)
        elif name == "#EXT-X-MEDIA-SEQUENCE":
            found.sequence = int(value)
        elif name == "#EXT-X-DISCONTINUITY-SEQUENCE":
            found.discontinuity_sequence = int(value)
        elif name == "#EXT-X-SKIP":
            found.skipped = int(value.partition("=")[2])
        elif name == "#EXT-X-SERVER-CONTROL":
            found.control = dict(each.split("=") for each in value.split(","))
        elif name == "#EXT-X-PART-INF":
            found.part_target = float(value.partition("=")[2])
        elif name == "#EXT-X-PART":
            part = Part(float(re.search("DURATION=([0-9.]+)", value)[1]), re.search('URI="(.*?)"', value)[1], "INDEPENDENT=YES" in value)
            found.parts.setdefault(len(found.entries), []).append(part)
        elif name == "#EXT-X-PRELOAD-HINT":
            found.hint = re.search('URI="(.*?)"', value)[1]
        elif name == "#EXT-X-ENDLIST":
            found.has_end = True
        elif name in ("#EXT-X-DISCONTINUITY", "#EXT-X-MAP", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-GAP"):
            tags.append(line)
        elif name == "#EXTINF":
            seconds = float(value.rstrip(","))
        elif line and not line.startswith("#"):
            found.entries.append((line, seconds, tuple(tags)))
            tags = []
    found.ends_at = _end(found, tags)
    return found


def _end(found: Playlist, tags: list[str]) -> float:
    at = 0.0
    for _, seconds, before in found.entries:
        at = (_clock(before) or at) + seconds
    return (_clock(tuple(tags)) or at) + sum(each.seconds for each in found.open_parts)


def _clock(tags: tuple[str, ...]) -> float | None:
    for tag in tags:
        name, _, value = tag.partition(":")
        if name == "#EXT-X-PROGRAM-DATE-TIME":
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return None


def faults(earlier: Playlist, later: Playlist) -> list[str]:
    """What a player that has read `earlier` must not meet in `later`; both whole, not deltas."""
    found = []
    if later.target != earlier.target:
        found.append(f"target duration {earlier.target} became {later.target}")
    if later.sequence < earlier.sequence or later.discontinuity_sequence < earlier.discontinuity_sequence:
        found.append("a sequence number went back")
    gone = later.sequence - earlier.sequence
    if len(later.entries) + gone < len(earlier.entries):
        found.append(f"{len(earlier.entries)} entries became {len(later.entries)}")
    found += [f"{old} became {new}" for old, new in zip(earlier.entries[gone:], later.entries) if old != new]
    found += [f"{entry[0]} is longer than the target" for entry in later.entries if round(entry[1]) > later.target]
    for place, parts in later.parts.items():
        if place < len(later.entries) and abs(sum(each.seconds for each in parts) - later.entries[place][1]) > 0.001:
            found.append(f"the parts of {later.entries[place][0]} do not make it up")
        if later.part_target and any(each.seconds > later.part_target for each in parts):
            found.append(f"a part of place {place} is longer than the part target")
    for place, parts in earlier.parts.items():
        now = later.parts.get(place - gone)
        if now is not None and now[: len(parts)] != parts:
            found.append(f"parts of place {place} changed")
    if earlier.has_end and later.entries != earlier.entries:
        found.append("something came behind the end")
    return found


def mpd_faults(earlier: str, later: str) -> list[str]:
    """The same for a dynamic MPD (DASH-IF live services): what was said of a Period stays, except that the last one grows."""
    old, new = (xml.etree.ElementTree.fromstring(each) for each in (earlier, later))
    found = []
    if later != earlier and new.get("type") == "dynamic":
        if new.get("availabilityStartTime") != old.get("availabilityStartTime"):
            found.append("availabilityStartTime changed")
        if new.get("publishTime") <= old.get("publishTime"):
            found.append(f"publishTime {old.get('publishTime')}, then {new.get('publishTime')}")
    before, now = _periods(old), _periods(new)
    if [each[:2] for each in before] != [each[:2] for each in now[:len(before)]]:
        found.append(f"Periods {[each[:2] for each in before]} became {[each[:2] for each in now]}")
    for (name, _, sets), (_, _, later_sets) in zip(before, now):
        if [each[0] for each in sets] != [each[0] for each in later_sets]:
            found.append(f"tracks of {name}: {[each[0] for each in sets]} became {[each[0] for each in later_sets]}")
        found += [f"segments of {track} in {name} changed" for (track, said), (_, says) in zip(sets, later_sets) if says[:len(said)] != said]
        if name != before[-1][0]:
            found += [f"{track} of {name} grew" for (track, said), (_, says) in zip(sets, later_sets) if said != says]
    return found


def _periods(root) -> list[tuple]:
    space = {"d": "urn:mpeg:dash:schema:mpd:2011"}
    found = []
    for period in root.findall("d:Period", space):
        sets = []
        for adaptation in period.findall("d:AdaptationSet", space):
            names = (adaptation.get("id"), adaptation.get("contentType"), *(each.get("id") for each in adaptation.findall("d:Representation", space)))
            segments: list[tuple[int, int]] = []
            for each in adaptation.findall(".//d:S", space):
                start = int(each.get("t", sum(segments[-1]) if segments else 0))
                segments += [(start + place * int(each.get("d")), int(each.get("d"))) for place in range(int(each.get("r", 0)) + 1)]
            sets.append((names, segments))
        found.append((period.get("id"), period.get("start"), sets))
    return found
