import HTTP
import Testing

@Suite("Requests that wait for a change")
struct WaitingRoomTests {
    /// Longer than any test may take, so that only what is tested ends a wait.
    private static let long = 300.0

    @Test("a change wakes those who wait for it and no others, and is not missed by who comes late")
    func change() async {
        let room = WaitingRoom(waitersMax: 10, firstVersion: 100)
        async let a = room.wait(for: "a", past: 0, seconds: Self.long)
        async let b = room.wait(for: "b", past: 0, seconds: Self.long)
        while room.count < 2 { await Task.yield() }
        room.changed("a")
        #expect(await a)
        #expect(room.version(of: "a") == 101 && room.version(of: "b") == 0)
        #expect(await room.wait(for: "a", past: 0, seconds: Self.long))
        room.changed("b")
        #expect(await b)
        #expect(room.count == 0)
    }

    @Test("many changes at once wake everyone once")
    func burst() async {
        let room = WaitingRoom(waitersMax: 1_000, firstVersion: 0)
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<100 {
                group.addTask { await room.wait(for: "\(number % 5)", past: 0, seconds: Self.long) }
            }
            while room.count < 100 { await Task.yield() }
            for number in 0..<50 { room.changed("\(number % 5)") }
            for await woken in group { #expect(woken) }
        }
        #expect(room.count == 0)
    }

    @Test("nobody waits longer than said, in a full room, when cancelled, or when all is over")
    func bounds() async {
        let room = WaitingRoom(waitersMax: 1, firstVersion: 0)
        #expect(!(await room.wait(for: "a", past: 0, seconds: 0.01)))
        let first = Task { await room.wait(for: "a", past: 0, seconds: Self.long) }
        while room.count < 1 { await Task.yield() }
        #expect(!(await room.wait(for: "a", past: 0, seconds: Self.long)))
        first.cancel()
        #expect(!(await first.value))
        #expect(room.count == 0)
        let second = Task { await room.wait(for: "a", past: 0, seconds: Self.long) }
        while room.count < 1 { await Task.yield() }
        room.close()
        #expect(!(await second.value))
        #expect(!(await room.wait(for: "a", past: 0, seconds: Self.long)))
    }

    @Test("what is no more is told to those who wait for it")
    func forgotten() async {
        let room = WaitingRoom(waitersMax: 1, firstVersion: 0)
        room.changed("a")
        let waiting = Task { await room.wait(for: "a", past: 1, seconds: Self.long) }
        while room.count < 1 { await Task.yield() }
        room.forget("a")
        #expect(await waiting.value)
        #expect(room.version(of: "a") == 0)
    }
}
