import CMicrohttpd
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Small files that are sent, read into memory: header and body then leave in one call, where the library would send a file in pieces of
/// 128 KB, each with a trip of its loop. Those asked for again soon are not even read again. Any thread; nothing here waits for a disk.
final class FileMemory: Sendable {
    /// A part of a file, for as long as an answer sends it.
    final class Block: @unchecked Sendable {  // why: filled before anyone else sees it, never changed afterwards.
        let bytes: UnsafeMutableRawPointer
        let count: Int
        private let sum: Sum

        fileprivate init?(_ count: Int, in sum: Sum) {
            guard let bytes = malloc(max(1, count)) else { return nil }
            (self.bytes, self.count, self.sum) = (bytes, count, sum)
            sum.bytes.add(count, ordering: .relaxed)
        }

        deinit {
            free(bytes)
            sum.bytes.subtract(count, ordering: .relaxed)
        }
    }

    /// Of all blocks, those that slow clients are still reading included. Apart from the memory, which its blocks would keep otherwise.
    fileprivate final class Sum: Sendable {
        let bytes = Atomic<Int>(0)
    }

    /// Two generations: what is used moves to the young one, and what is not used while that fills is dropped.
    private struct State {
        var young: [HTTPFile.Identity: Block] = [:]
        var old: [HTTPFile.Identity: Block] = [:]
        var youngBytes = 0
    }

    /// Larger parts go from the file.
    static let partBytesMax = 512 << 10
    /// Before this age another change could leave the times of a file as they are.
    private static let settledSeconds: Int64 = 2

    private let state = Locked(State())
    private let sum = Sum()
    private let capacity: Int

    /// - Parameter capacity: bytes that may be kept; as many again may be on their way. 0 sends everything from files.
    init(capacity: Int) { self.capacity = capacity }

    /// The bytes of a file that hold `part`, and where in them it begins; nil when they are not at hand or too many.
    func block(_ file: HTTPFile, _ part: Range<Int64>) -> (block: Block, start: Int)? {
        guard part.count <= Self.partBytesMax, capacity > 0 else { return nil }
        guard file.offset == 0, file.count <= Self.partBytesMax else {
            return read(file, file.offset + part.lowerBound, part.count).map { ($0, 0) }
        }
        if let kept = kept(file.identity) { return (kept, Int(part.lowerBound)) }
        guard let block = read(file, 0, Int(file.count)) else { return nil }
        if Int64(time(nil)) > file.identity.changedSeconds + Self.settledSeconds { keep(block, file.identity) }
        return (block, Int(part.lowerBound))
    }

    private func read(_ file: HTTPFile, _ start: Int64, _ count: Int) -> Block? {
        guard sum.bytes.load(ordering: .relaxed) + count <= 2 * capacity, let block = Block(count, in: sum) else { return nil }
        // What is not in the page cache is the kernel's to fetch while it sends the file.
        guard cmicrohttpd_read_cached(file.descriptor, block.bytes, count, start) == count else { return nil }
        return block
    }

    private func kept(_ identity: HTTPFile.Identity) -> Block? {
        state.withLock { state in
            if let block = state.young[identity] { return block }
            guard let block = state.old.removeValue(forKey: identity) else { return nil }
            add(block, identity, &state)
            return block
        }
    }

    private func keep(_ block: Block, _ identity: HTTPFile.Identity) {
        let dropped = state.withLock { state in
            defer { add(block, identity, &state) }
            return state.old
        }
        // The memory is given back here, without the lock.
        withExtendedLifetime(dropped) {}
    }

    private func add(_ block: Block, _ identity: HTTPFile.Identity, _ state: inout State) {
        if state.youngBytes + block.count > capacity / 2 {
            (state.old, state.young, state.youngBytes) = (state.young, [:], 0)
        }
        if state.young.updateValue(block, forKey: identity) == nil { state.youngBytes += block.count }
    }
}
