/// One layer that a publisher sends: of simulcast, or within one source.
public struct LayerRecord: Sendable, Hashable, Encodable {
    /// The publisher's name for it (`a=rid`).
    public var rid: String
    /// Whether media of it comes now.
    public var active: Bool
    /// Bits per second over the last two seconds.
    public var bitrate: Int64
    /// Width in pixels; 0 while unknown.
    public var width: Int
    /// Height in pixels; 0 while unknown.
    public var height: Int

    /// All fields by name.
    public init(rid: String, active: Bool = false, bitrate: Int64 = 0, width: Int = 0, height: Int = 0) {
        self.rid = rid
        self.active = active
        self.bitrate = bitrate
        self.width = width
        self.height = height
    }
}
