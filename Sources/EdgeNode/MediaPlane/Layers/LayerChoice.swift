/// What of a stream in layers a viewer is sent.
public enum LayerChoice: Sendable, Equatable {
    /// The best layer that the viewer's path carries, as far as that is known.
    case automatic
    /// The layer with this `a=rid`; while the publisher leaves it out, the next lower one.
    case pinned(rid: String)
    /// No video.
    case off
}

/// One layer as it comes in: of simulcast (RFC 8853), or spatial and temporal layers within one source with all below them.
public struct LayerSnapshot: Sendable, Equatable {
    /// The publisher's name for it, opaque; within one source `S1T2` for the second spatial and the third temporal layer.
    public var rid: String
    /// Whether media of it comes now: senders leave layers out for which they lack bandwidth or processor time.
    public var isActive: Bool
    /// Bits per second over the last two seconds, headers included; 0 while nothing comes.
    public var bitrate: UInt64
    /// Width of its last keyframe in pixels; 0 while unknown.
    public var width: UInt16
    /// Height of its last keyframe in pixels; 0 while unknown.
    public var height: UInt16
}

/// The layers that one viewer may choose from, and its choice.
public struct ViewerLayers: Sendable, Equatable {
    /// The publisher's layers from the lowest to the highest; empty when the stream has none.
    public var layers: [LayerSnapshot]
    /// What was chosen.
    public var choice: LayerChoice
    /// The layer that is sent now; nil while none is.
    public var current: String?
}
