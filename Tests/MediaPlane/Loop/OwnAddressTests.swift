import CLinux
import TestThreads
import Testing

@testable import MediaPlane

@Suite(
    "A machine with several addresses answers from the one it was asked at (RFC 8445 section 7.2.5.2.1)", .offThePool, .serialized
)
struct OwnAddressTests {
    @Test("media too, with segmentation and without", arguments: ["::", "0.0.0.0"], [true, false])
    func answers(bindAddress: String, segmentation: Bool) async throws {
        var settings = MediaSettings()
        settings.loops = 1
        settings.bindAddress = bindAddress
        settings.usesSegmentation = segmentation
        let plane = try MediaPlane(settings)
        let publisher = try TestPeer()
        let publishing = try await plane.addPublisher(
            PublisherSpec(stream: LoopBed.stream, session: "p", transport: publisher.spec, tracks: LoopBed.incoming()))
        let viewer = try TestPeer()
        let watching = try await plane.addViewer(
            ViewerSpec(stream: LoopBed.stream, session: "v", transport: viewer.spec, tracks: LoopBed.outgoing))
        // The route to 127.0.0.1, where both are, prefers 127.0.0.1 itself.
        try publisher.begin(to: plane, publishing, host: 0x7F00_0003)
        try viewer.begin(to: plane, watching, host: 0x7F00_0004)
        #expect(publisher.run { $0.isConnected })
        #expect(viewer.run { $0.isConnected })
        var encoder = Encoder()
        encoder.frame(publisher, key: true, packets: 8)
        #expect(viewer.run { $0.packets(LoopBed.viewerVideo).count == 8 })
        #expect(Set(viewer.mediaSources.map(\.host)) == ["127.0.0.4"])
        await plane.shutdown()
    }

    @Test("addresses are told apart, found again, and bounded")
    func table() {
        var table = OwnAddresses()
        let addresses = (0..<80).map { tributary_own_address(high: 0, low: UInt64($0)) }
        var ways: [UInt16] = []
        for address in addresses { ways.append(table.way(from: address)) }
        #expect(Set(ways.prefix(64)).count == 64 && ways.prefix(64).allSatisfy { $0 >= OwnAddresses.firstWay })
        #expect(ways.suffix(16).allSatisfy { $0 == 0 })
        var again: [UInt16] = []
        for address in addresses { again.append(table.way(from: address)) }
        #expect(again == ways)
        let found = [
            table.address(of: ways[5])?.low, table.address(of: 0)?.low, table.address(of: 5)?.low, table.address(of: .max)?.low,
        ]
        #expect(found == [5, nil, nil, nil])
    }
}
