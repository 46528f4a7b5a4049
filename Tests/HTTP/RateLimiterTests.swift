import Synchronization
import Testing

@testable import HTTP

@Suite("Rate limit (RFC 6585 section 4)")
struct RateLimiterTests {
    @Test("a burst, then the rate; addresses don't share")
    func bucket() {
        let now = Mutex<UInt64>(1_000_000_000)
        let limiter = RateLimiter(perSecond: 2, burst: 3) { now.withLock { $0 } }
        #expect((0..<4).map { _ in limiter.wait("a") } == [nil, nil, nil, 1])
        #expect(limiter.wait("b") == nil)
        now.withLock { $0 += 500_000_000 }
        #expect(limiter.wait("a") == nil)
        #expect(limiter.wait("a") == 1)
        now.withLock { $0 += 3_600_000_000_000 }
        #expect((0..<4).map { _ in limiter.wait("a") } == [nil, nil, nil, 1])
    }

    @Test("many addresses stay bounded and a busy one is remembered")
    func bounded() {
        let limiter = RateLimiter(perSecond: 1, burst: 1) { 5 }
        for index in 0..<40_000 { _ = limiter.wait("address\(index)") }
        #expect(limiter.wait("address39999") == 1)
    }
}
