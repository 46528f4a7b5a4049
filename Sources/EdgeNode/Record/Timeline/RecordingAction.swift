import Journal
import Media

/// What the recording of a stream wants done; in this order and without leaving one out.
enum RecordingAction: Equatable {
    /// A session begins with a first sample at this time of day (Unix microseconds).
    case sessionBegan(startUs: Int64)
    /// A Period begins: media time 0 is this time of day. It continues the one before when no media lie between, even where the time
    /// of day says otherwise because the sender's clock runs faster or slower; not when ours was set.
    case periodBegan(startUs: Int64, continues: Bool)
    /// A track of the Period begins.
    case trackBegan(LaneKind, TrackFormat, initSegment: [UInt8])
    /// A whole fragment that belongs to the track's open segment.
    case chunk(LaneKind, Fragment)
    /// The track's segment is complete; times in the track's timescale.
    case segmentEnded(LaneKind, time: Int64, duration: Int64, samples: Int, startsWithSync: Bool)
    /// Nothing follows in this Period.
    case periodEnded
    /// Nothing follows in this session.
    case sessionEnded
    /// The publisher should make a key frame.
    case keyframeWanted
}

/// Why a stream cannot be recorded although it is there.
public enum RecordingFault: Error, Equatable, Sendable {
    /// None of the tracks is in a codec that recordings hold.
    case noRecordableTrack
    /// The muxer refused.
    case muxer(FragmentWriterError)
}
