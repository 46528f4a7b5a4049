import Config
import HTTP
import Program

/// `[extra_ice]`: ICE servers that clients of the whole cluster are told of.
public struct ExtraICESettings: Sendable, Hashable {
    /// `override_upstream_ice_servers`: those that the node names are left out.
    public var overridesUpstream: Bool
    /// `[[extra_ice.ice_servers]]`.
    public var servers: [ICEServerSettings]
    /// `[extra_ice.coturn]`.
    public var coturn: CoturnSettings

    init(reading root: ConfigSection) {
        let section = root.section("extra_ice")
        overridesUpstream = section.flag("override_upstream_ice_servers", default: false)
        servers = ICEServerSettings.all(reading: section)
        coturn = CoturnSettings(reading: section)
    }
}

/// Puts the cluster's own ICE servers beside those of a node's answer, or in their place.
struct ExtraICE: Sendable {
    private let servers: ICEServers
    private let overridesUpstream: Bool

    init(_ settings: ExtraICESettings) {
        servers = ICEServers(settings.servers, settings.coturn)
        overridesUpstream = settings.overridesUpstream
    }

    /// The answer to an offer as its client gets it; any other answer as it is.
    func adding(to response: HTTPResponse, stream: String) -> HTTPResponse {
        guard response.status == .created else { return response }
        var response = response
        let upstream = response.headers.all("Link")
        response.headers["Link"] = nil
        for link in upstream where !overridesUpstream || !ICEServers.isServer(link: link) { response.headers.add("Link", link) }
        // A server that both name is told once.
        for link in links(stream: stream) where !upstream.contains(link) || overridesUpstream {
            response.headers.add("Link", link)
        }
        return response
    }

    /// What a client of `stream` is told before it offers.
    func links(stream: String) -> [String] { servers.links(stream: stream) }
}
