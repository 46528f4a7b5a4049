import Foundation
import HTTP
import Media

/// `GET /api/time`, the clock that live manifests name; open to everyone, for players ask it without a credential.
public enum TimeRoute {
    /// Adds the route.
    public static func add(to router: inout Router) {
        router.get("/api/time", RouteDescription("The time, for DASH players (xs:dateTime)", tag: "system")) { _ in
            let us = Int64(Date().timeIntervalSince1970 * 1e3) * 1_000
            return .text(ISO8601.dateTime(microseconds: us), headers: ["Cache-Control": "no-store"])
        }
    }
}
