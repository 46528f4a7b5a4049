import Testing

@testable import MediaPlane

/// Fanout tracks of three layers and a sound track, fed by rates, with a clock of their own.
private final class Layers {
    static let rids = ["f", "q", "h"]
    let tracks = UnsafeMutablePointer<FanoutTrack>.allocate(capacity: 4)
    var board = LayerBoard()
    var now: UInt64 = 10_000_000_000
    private var sequences = [UInt64](repeating: 1, count: 4)

    /// - Parameter knowsSizes: whether keyframes tell of sizes; the first track is the largest.
    init(knowsSizes: Bool = true) {
        for (index, rid) in Self.rids.enumerated() {
            (tracks + index).initialize(to: FanoutTrack(kind: .video, codec: .vp8, clockRate: 90000, rid: ShortText(rid)))
        }
        (tracks + 3).initialize(to: FanoutTrack(kind: .audio, codec: .opus, clockRate: 48000))
        board.begin(tracks: tracks, count: 4, fed: 0b1111, restarted: .max)
        guard knowsSizes else { return }
        for (track, width) in [(0, 1280), (1, 320), (2, 640)] as [(Int, UInt16)] {
            let key: [UInt8] = [0x10, 0, 0, 0, 0x9D, 1, 0x2A, UInt8(width & 0xFF), UInt8(width >> 8), 100, 0]
            store(track, key, flags: .keyframeStart)
        }
    }

    deinit {
        tracks.deinitialize(count: 4)
        tracks.deallocate()
    }

    private func store(_ track: Int, _ payload: [UInt8], flags: PacketFlags = []) {
        let packet = IncomingPacket(
            sequence: sequences[track], timestamp: UInt32(truncatingIfNeeded: now / 11111), arrivalNs: now, flags: flags,
            extensions: ForwardedExtensions())
        sequences[track] += 1
        let place = tracks + track
        if place.pointee.isPendingFull { place.pointee.clearPending() }
        _ = payload.withUnsafeBytes { place.pointee.store(packet, payload: $0, wallNs: now) }
    }

    /// Lets time pass with media of these rates in kb/s; the follower is asked at each tick.
    @discardableResult
    func pass(_ seconds: Double, kbps: [Int], _ follower: inout LayerFollower, current: inout Int?) -> [Int] {
        var changes: [Int] = []
        for _ in 0..<Int(seconds * 4) {
            now += LayerBoard.tickNs
            for (track, rate) in kbps.enumerated() where rate > 0 {
                for bytes in Self.packets(rate * 1000 / 8 / 4) { store(track, [UInt8](repeating: 0xFF, count: bytes)) }
            }
            board.update(tracks, now: now)
            let target = follower.target(on: board, current: current, now: now)
            if let target, target != current { changes.append(target) }
            current = target ?? current
        }
        return changes
    }

    private static func packets(_ bytes: Int) -> [Int] {
        var sizes: [Int] = []
        var rest = bytes
        while rest > 0 {
            sizes.append(min(rest, 1200))
            rest -= 1200
        }
        return sizes
    }
}

@Suite("Choosing a layer: down at once, up slowly (RFC 8853 section 7)")
struct LayerFollowerTests {
    static let all = [1600, 150, 500, 40]

    @Test(
        "the best layer that comes; a silent one gives way within two seconds and is not gone back to at once",
        arguments: [true, false])
    func silence(knowsSizes: Bool) {
        let layers = Layers(knowsSizes: knowsSizes)
        var follower = LayerFollower()
        var current: Int?
        #expect(layers.pass(1, kbps: Self.all, &follower, current: &current) == [0])
        #expect(layers.pass(1, kbps: [0, 150, 500, 40], &follower, current: &current) == [], "a pause is no silence")
        #expect(layers.pass(1, kbps: [0, 150, 500, 40], &follower, current: &current) == [2])
        #expect(layers.pass(1.5, kbps: Self.all, &follower, current: &current) == [])
        #expect(layers.pass(2, kbps: Self.all, &follower, current: &current) == [0])
        #expect(
            layers.pass(10, kbps: [0, 0, 0, 40], &follower, current: &current) == [],
            "nothing comes at all: nothing better either")
    }

    @Test("ranks are by size where that is known, whatever the rids and rates say")
    func ranks() {
        let layers = Layers()
        var follower = LayerFollower()
        var current: Int?
        layers.pass(2, kbps: [100, 150, 500, 40], &follower, current: &current)
        #expect(layers.board.snapshots.map(\.rid) == ["q", "h", "f"])
        #expect(layers.board.snapshots.map(\.width) == [320, 640, 1280])
        let unsized = Layers(knowsSizes: false)
        unsized.pass(2, kbps: [100, 150, 500, 40], &follower, current: &current)
        #expect(unsized.board.snapshots.map(\.rid) == ["f", "q", "h"])
    }

    @Test("measured rates are those sent")
    func rates() throws {
        let layers = Layers()
        var follower = LayerFollower()
        var current: Int?
        layers.pass(3, kbps: Self.all, &follower, current: &current)
        for (layer, kbps) in zip(layers.board.snapshots, [150, 500, 1600]) {
            #expect(abs(Int(layer.bitrate) - kbps * 1000) < kbps * 40, "\(layer.rid): \(layer.bitrate)")
        }
        #expect(abs(Int(layers.board.otherBitsPerSecond) - 40_000) < 2000)
    }

    @Test("a limit is kept, sound included; less makes it go down at once, more up after seconds")
    func limits() {
        let layers = Layers()
        var follower = LayerFollower()
        var current: Int?
        follower.bitsPerSecondMax = 2_500_000
        layers.pass(2, kbps: Self.all, &follower, current: &current)
        #expect(current == 0)
        follower.bitsPerSecondMax = 1_600_000
        #expect(layers.pass(0.25, kbps: Self.all, &follower, current: &current) == [2], "sound has its share")
        follower.bitsPerSecondMax = 100_000
        #expect(layers.pass(0.25, kbps: Self.all, &follower, current: &current) == [1], "the lowest even where that is too much")
        follower.bitsPerSecondMax = 1_700_000
        #expect(layers.pass(2, kbps: Self.all, &follower, current: &current) == [])
        #expect(layers.pass(1, kbps: Self.all, &follower, current: &current) == [2])
        #expect(layers.pass(20, kbps: Self.all, &follower, current: &current) == [], "too little above the highest layer's rate")
        follower.bitsPerSecondMax = 2_500_000
        #expect(layers.pass(6, kbps: Self.all, &follower, current: &current) == [0])
    }

    @Test("a chosen layer is kept to, whatever the limit, and its lower neighbour while it doesn't come")
    func pinned() {
        let layers = Layers()
        var follower = LayerFollower()
        var current: Int?
        follower.wish = .pinned(ShortText("h"))
        follower.bitsPerSecondMax = 10_000
        #expect(layers.pass(3, kbps: Self.all, &follower, current: &current) == [2])
        #expect(layers.pass(3, kbps: [1600, 150, 0, 40], &follower, current: &current) == [1])
        #expect(layers.pass(1, kbps: Self.all, &follower, current: &current) == [2])
        follower.wish = .pinned(ShortText("unheard of"))
        #expect(layers.pass(1, kbps: Self.all, &follower, current: &current) == [1], "as if nothing was chosen")
        follower.wish = .off
        #expect(follower.target(on: layers.board, current: current, now: layers.now) == nil)
    }

    @Test(
        "time between layers is that of their pictures; reports far from the arrivals are not believed",
        arguments: [
            (33, 40, 33), (-5, 40, 1), (33, -20, 33), (nil, 40, 40), (nil, -3, 1), (5000, 40, 40), (-5000, 40, 40),
        ] as [(Int64?, Int64, UInt64)])
    func timing(captured: Int64?, arrived: Int64, expected: UInt64) {
        let elapsed = LayerTiming.elapsedNs(captured: captured.map { $0 * 1_000_000 }, arrived: arrived * 1_000_000)
        #expect(elapsed == expected * 1_000_000)
    }
}
