import HTTP
import Program
import Store
import Testing

@Suite("What a client is told about a store that failed")
struct StoreErrorTests {
    @Test(
        "the right status, and when to come again",
        arguments: [
            (StoreError.notFound, 404, nil), (.unavailable(reason: "secret"), 503, "5"), (.timedOut(reason: "secret"), 504, "5"),
            (.throttled(retryAfterMs: 1_500), 503, "2"), (.denied(reason: "secret"), 502, nil), (.noSpace(code: 28), 507, nil),
            (.preconditionFailed, 412, nil), (.rangeNotSatisfiable(size: 5), 416, nil), (.invalidKey(reason: "x"), 400, nil),
        ] as [(StoreError, Int, String?)])
    func statuses(error: StoreError, status: Int, retryAfter: String?) {
        let told = HTTPError(error, about: "the path")
        #expect(told.status.rawValue == status)
        #expect(told.headers["Retry-After"] == retryAfter)
        #expect(!told.message.contains("secret"))
    }
}
