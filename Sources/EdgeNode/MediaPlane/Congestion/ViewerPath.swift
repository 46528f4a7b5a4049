/// The path to one viewer whose packets say when they were sent: what it carries, and how much of that its video may take now.
///
/// Only viewers that agreed on it have one; a packet of all others costs a look at a nil pointer.
struct ViewerPath: ~Copyable {
    /// Until feedback tells how fast the path is, a start isn't held up more than this.
    private static let unknownBits: UInt64 = 10_000_000
    /// A lowest layer's keyframe has to get through at any estimate.
    private static let paceBitsMin: UInt64 = 120_000
    /// Video may lag behind for so long before it jumps to the next keyframe, and a cached group of pictures for so long.
    static let lagNs: UInt64 = 1_000_000_000
    static let cachedLagNs: UInt64 = 5_000_000_000

    /// Nil for a viewer that estimates by itself.
    let estimator: UnsafeMutablePointer<BandwidthEstimator>?
    var pace = PaceBudget()
    /// When video has to have caught up; 0 while it isn't behind.
    var lagEndsNs: UInt64 = 0
    /// The last packet of video ended a picture.
    var isBetweenPictures = false
    /// What was sent of each track: a number whose packet would have other bytes the second time must not be used twice.
    private var sent = InlineArray<8, ReceiveWindow>(repeating: ReceiveWindow())

    /// - Parameter reportsArrivals: the viewer sends transport-wide feedback.
    init(reportsArrivals: Bool) {
        guard reportsArrivals else {
            estimator = nil
            return
        }
        let place = UnsafeMutablePointer<BandwidthEstimator>.allocate(capacity: 1)
        place.initialize(to: BandwidthEstimator())
        estimator = place
    }

    deinit {
        guard let estimator else { return }
        estimator.deinitialize(count: 1)
        estimator.deallocate()
    }

    /// Whether a number of a track is used for the first time; counts as used then.
    @inline(__always)
    mutating func isFirst(_ sequence: UInt64, track: Int) -> Bool {
        guard track >= 0, track < sent.count, case .new = sent[track].insert(sequence) else { return false }
        return true
    }

    /// Gives video what has become free since the last time.
    mutating func fillPace(now: UInt64) {
        guard let estimator else { return }
        let bits = estimator.pointee.isMeasured ? max(estimator.pointee.bitsPerSecond, Self.paceBitsMin) : Self.unknownBits
        pace.fill(bitsPerSecond: bits, now: now)
    }

    /// Notes that a packet with the transport's next number went out.
    @inline(__always)
    mutating func countSent(bytes: Int, isVideo: Bool, endsPicture: Bool, now: UInt64) {
        _ = estimator?.pointee.sent(bytes: bytes + MediaLimits.networkHeaderBytes, now: now)
        guard isVideo else { return }
        pace.spend(bytes)
        isBetweenPictures = endsPicture
    }
}

/// What a packet says of its sending, under the ids of its viewer; whatever it is, it is new with each sending.
struct SendingMark {
    /// The transport's number for it.
    var transportSequence: UInt16?
    /// 24 bits of seconds with 18 after the point.
    var absoluteTime: UInt32?

    static let none = SendingMark()

    var isEmpty: Bool { transportSequence == nil && absoluteTime == nil }

    func append(to writer: inout HeaderExtensionWriter, ids: ExtensionIDs) {
        if let transportSequence { writer.append(id: ids.transportCC, value: UInt32(transportSequence), bytes: 2) }
        if let absoluteTime { writer.append(id: ids.absSendTime, value: absoluteTime, bytes: 3) }
    }
}
