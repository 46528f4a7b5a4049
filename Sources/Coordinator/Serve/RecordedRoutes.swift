import Auth
import HTTP
import Playback
import Program

/// Lists of recordings, manifests, clips and objects.
struct RecordedRoutes: Sendable {
    let source: ClusterPlayback
    let objects: ObjectProxy

    func add(to router: inout GuardedRouter) {
        for route in PlaybackRoutes(source: source).all {
            router.on(
                .get, route.pattern, route.description, isMedia: route.isMedia, needs: { try route.access($0) }, route.handler)
        }
        router.on(
            .get, "/api/record/object/{path*}",
            RouteDescription(
                "An object of a recording", tag: "playback", parameters: [.query("node", "The node that has it")],
                responses: [
                    RouteResponse(200, "The object"), RouteResponse(206, "A part of it"),
                    RouteResponse(400, "Not an object's path"),
                    RouteResponse(404, "No such object"), RouteResponse(416, "A range outside of it"),
                    RouteResponse(503, "Its node can't be reached"),
                ]), isMedia: true,
            needs: { .subscribe(stream: await objects.stream(ofPath: $0.parameter("path"))) }
        ) { request in
            try await objects.respond(to: request, path: request.parameter("path"), node: request.query.first("node"))
        }
    }
}
