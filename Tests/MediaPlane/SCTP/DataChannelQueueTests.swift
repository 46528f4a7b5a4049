import TestThreads
import Testing

@testable import MediaPlane

@Suite("Data channels across threads: bounded queues, records over DTLS (RFC 8261)")
struct DataChannelQueueTests {
    @Test("packets for a loop come in order and in batches; past the bound they are dropped")
    func outgoing() throws {
        let mailbox = try Mailbox()
        #expect(mailbox.takeRecords().isEmpty)
        let packet = [UInt8](repeating: 1, count: 1 << 20)
        for index in 0..<20 { mailbox.post(packet, to: UInt64(index)) }
        #expect(mailbox.takeRecords().map(\.session) == Array(0..<UInt64(SCTPLimits.outgoingBytes >> 20)))
        for index in 0..<600 { mailbox.post([1], to: UInt64(index)) }
        var taken: [Int] = []
        while case let batch = mailbox.takeRecords(), !batch.isEmpty { taken.append(batch.count) }
        #expect(taken == [256, 256, 88])
    }

    @Test("application data passes both ways under DTLS, whatever the roles", .offThePool, arguments: [false, true])
    func records(serverIsDTLSClient: Bool) throws {
        try withWallClock { clock in
            let pair = try TransportPair(clock: clock, serverIsDTLSClient: serverIsDTLSClient)
            #expect(pair.run(limitMs: 2000) { $0.isConnected })
            var heard: [[UInt8]] = []
            pair.server.receiveApplicationData { heard.append(Array($0)) }
            pair.client.receiveApplicationData { heard.append(Array($0)) }
            let largest = [UInt8](repeating: 9, count: Int(SCTPLimits.pathMTU) + 12)
            pair.sendData(largest, fromServer: true)
            pair.sendData([1, 2, 3], fromServer: false)
            pair.run(limitMs: 50)
            #expect(heard == [largest, [1, 2, 3]])
            #expect(pair.largestDatagram <= Limits.dtlsDatagramBytes)
            // A peer that sends without end is heard as often as agreed; repeats of its handshake count, too.
            heard = []
            for _ in 0..<2000 { pair.sendData([7], fromServer: false) }
            pair.run(limitMs: 100)
            #expect(heard.count > Int(SCTPLimits.recordBurst) - 10 && heard.count < 1000)
        }
    }
}
