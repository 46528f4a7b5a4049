import CAllocationCounter
import COpenSSL
import Foundation
import Testing

@testable import MediaPlane

#if canImport(Glibc)
    import Glibc
#endif

/// Looks for bytes in everything that this process may write to.
private enum OwnMemory {
    private static let block = 1 << 20
    private static let pageBytes = 4096

    /// - Parameter inverted: the bytes' complement, so that the question is not its own answer.
    static func holds(inverted: [UInt8]) throws -> Bool {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/mem"))
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: block, alignment: 16)
        // What was found must not be found again in memory that was given back.
        defer {
            OPENSSL_cleanse(buffer, block)
            buffer.deallocate()
        }
        for region in try regions() {
            var place = region.lowerBound
            while place < region.upperBound {
                let count = pread(file.fileDescriptor, buffer, min(block, region.upperBound - place), off_t(place))
                // What isn't mapped any more: the library gives memory back, too.
                guard count > inverted.count else {
                    place = (place / pageBytes + 1) * pageBytes
                    continue
                }
                if contains(UnsafeRawBufferPointer(start: buffer, count: count), inverted) { return true }
                place += count - inverted.count + 1
            }
        }
        return false
    }

    private static func contains(_ bytes: UnsafeRawBufferPointer, _ inverted: [UInt8]) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        var offset = 0
        while offset + inverted.count <= bytes.count {
            guard let found = memchr(base + offset, Int32(~inverted[0]), bytes.count - inverted.count + 1 - offset) else {
                return false
            }
            offset = UnsafeRawPointer(found) - base
            var same = 1
            while same < inverted.count, bytes[offset + same] == ~inverted[same] { same += 1 }
            if same == inverted.count { return true }
            offset += 1
        }
        return false
    }

    private static func regions() throws -> [Range<Int>] {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/maps"))
        return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count >= 5, words[1].hasPrefix("rw") else { return nil }
            let ends = words[0].split(separator: "-").compactMap { Int($0, radix: 16) }
            return ends.count == 2 ? ends[0]..<ends[1] : nil
        }
    }
}

/// In processes of their own: other tests have gigabytes, which change while they are looked at.
@Suite(
    "Key material is gone when a session ends (RFC 3711 section 9.5)",
    .enabled(if: tributary_counts_allocations(), "a sanitizer's shadow is terabytes of writable memory"))
struct SecretMemoryTests {
    @Test("SRTP keys are in memory while media flows and nowhere after")
    func srtp() async {
        await #expect(processExitsWith: .success) {
            for profile in SRTPProfile.allCases { try withWallClock { try Self.endSession(profile, clock: $0) } }
        }
    }

    private static func endSession(_ profile: SRTPProfile, clock: UnsafeMutablePointer<UInt64>) throws {
        let pair = try TransportPair(clock: clock, serverProfiles: [profile], profiles: [profile])
        #expect(pair.run(limitMs: 2000) { $0.isConnected })
        var inverted: [[UInt8]] = []
        for side in [pair.server, pair.client] {
            var keys = try #require(side.sendingKeys)
            for secret in [keys.cipher, keys.authentication, keys.salt] { inverted.append(secret.map { ~$0 }) }
            keys.wipe()
        }
        #expect(try OwnMemory.holds(inverted: inverted[0]), "the search finds what is there")
        var output = TransportOutput()
        for side in [pair.server, pair.client] { side.close(output: &output) }
        for (index, secret) in inverted.enumerated() {
            #expect(try !OwnMemory.holds(inverted: secret), "secret \(index)")
        }
    }

    @Test("ICE keys are overwritten before their memory is given back")
    func ice() async {
        await #expect(processExitsWith: .success) {
            let password = (0..<24).map { _ in String(UnicodeScalar(UInt8.random(in: 97...122))) }.joined()
            var key: WipedKey? = WipedKey(password: password)
            // The hash states after the key: what signs and checks.
            let inverted = try #require(key).pointer.withMemoryRebound(to: UInt8.self, capacity: 20) { bytes in
                (0..<20).map { ~bytes[$0] }
            }
            #expect(try OwnMemory.holds(inverted: inverted))
            key = nil
            #expect(try !OwnMemory.holds(inverted: inverted))
        }
    }
}
