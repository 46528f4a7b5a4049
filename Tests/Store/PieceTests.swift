import Foundation
import Glibc
import MediaFixtures
import Synchronization
import Testing

@testable import Store

@Suite("Writing in pieces")
struct PieceTests {
    private static func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed &+ $0 >> 8) }
    }

    @Test(
        "two pieces stand one behind the other, in a directory on disk and in memory",
        arguments: ["", "/dev/shm"], [(0, 0), (0, 9), (9, 0), (1, 1), (4096, 1), (300, 200_000)])
    func pieces(root: String, sizes: (head: Int, body: Int)) throws {
        let directory = try TemporaryDirectory()
        let place = root.isEmpty ? directory.path : "\(root)/tributary-\(UUID().uuidString)"
        defer { if !root.isEmpty { try? FileManager.default.removeItem(atPath: place) } }
        let store = try FileStore(root: place)
        let key = try ObjectKey("day/seg_0001.m4s")
        let file = try store.createNow(key)
        let (head, body) = (Self.pattern(sizes.head, 1), Self.pattern(sizes.body, 2))
        for _ in 0..<3 { try file.append(head, body) }
        #expect(file.size == Int64(3 * (head.count + body.count)))
        try PendingFile.commit([file])
        // Advice only: the bytes stay, whether the kernel could forget them or not.
        store.uncacheNow(key)
        store.uncacheNow(try ObjectKey("day/none"))
        let whole = head + body
        #expect(try store.readNow(key, limit: 1 << 20) == whole + whole + whole)
    }

    @Test("signals in the middle of a write neither lose nor repeat a byte")
    func interrupted() throws {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = interruption
        #expect(sigaction(SIGUSR2, &action, nil) == 0)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        defer { close(reading) }
        let (head, body) = (Self.pattern(150_000, 3), Self.pattern(700_000, 4))
        let box = Outcome()
        Thread.detachNewThread {
            box.thread.store(UInt(pthread_self()), ordering: .releasing)
            do throws(StoreError) {
                try FileCalls.write(head, body, to: writing)
            } catch {
                box.failure.withLock { $0 = error }
            }
            box.isDone.store(true, ordering: .releasing)
            close(writing)
        }
        var got: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 7919)
        while true {
            let thread = box.thread.load(ordering: .acquiring)
            // The thread lives until the pipe is closed, and waits in the write as long as the pipe is full.
            if thread != 0, got.count < 600_000, !box.isDone.load(ordering: .acquiring) {
                pthread_kill(pthread_t(thread), SIGUSR2)
            }
            let count = read(reading, &buffer, buffer.count)
            guard count > 0 else { break }
            got += buffer[..<count]
        }
        #expect(box.failure.withLock { $0 } == nil)
        #expect(got == head + body)
    }

    private final class Outcome: Sendable {
        let thread = Atomic<UInt>(0)
        let isDone = Atomic<Bool>(false)
        let failure = Mutex<StoreError?>(nil)
    }

    @Test("a disk that fills up half-way is told, and what fitted stays", .enabled(if: geteuid() == 0))
    func full() throws {
        let directory = try TemporaryDirectory()
        let size = "size=65536"
        try #require(mount("tmpfs", directory.path, "tmpfs", 0, size) == 0)
        defer { umount2(directory.path, Int32(MNT_DETACH)) }
        let store = try FileStore(root: directory.path)
        let key = try ObjectKey("seg_0001.m4s")
        let file = try store.createNow(key)
        let (head, body) = (Self.pattern(1000, 5), Self.pattern(20_000, 6))
        try file.append(head, body)
        #expect(throws: StoreError.noSpace(code: ENOSPC)) {
            for _ in 0..<9 { try file.append(head, body) }
        }
        // What was whole before the failure is at the front, and can be adopted.
        let whole = Int(file.size)
        #expect(whole % 21_000 == 0 && whole > 0)
        try store.adoptNow(temporaryName: "seg_0001.m4s.tmp", as: key, size: Int64(whole))
        let bytes = try store.readNow(key, limit: 1 << 20)
        #expect(bytes.count == whole && bytes.starts(with: head + body))
    }

    @Test("files that are finished together get their names in order; a name that is taken stops there")
    func together() throws {
        let directory = try TemporaryDirectory()
        let store = try FileStore(root: directory.path)
        let keys = try (1...3).map { try ObjectKey("day/seg_000\($0).m4s") }
        try store.putNow(keys[1], [9], ifAbsent: true)
        let files = try keys.map { key in
            let file = try store.createNow(key)
            try file.append([1], [2, 3])
            return file
        }
        #expect(throws: StoreError.exists) { try PendingFile.commit(files) }
        #expect(try store.readNow(keys[0], limit: 9) == [1, 2, 3])
        #expect(try store.readNow(keys[1], limit: 9) == [9])
        #expect(throws: StoreError.notFound) { try store.headNow(keys[2]) }
        #expect(try store.temporaryNamesNow(in: try ObjectKey("day")) == ["seg_0002.m4s.tmp", "seg_0003.m4s.tmp"])
        try PendingFile.commit([])
    }
}

/// Does nothing but interrupt; a file-scope function because C calls it.
private func interruption(_ signal: Int32) {}
