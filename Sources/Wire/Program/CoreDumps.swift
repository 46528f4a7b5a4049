import CLinux

/// A core file of a server holds every key and token that it knows.
package enum CoreDumps {
    /// The variable that leaves core files to the system's own settings, with `1`: for looking for a fault.
    package static let variable = "CORE_DUMPS"

    /// Turns core files off, and with them attaching to the process for everyone but root. Programs that this one starts begin with
    /// a limit of 0, too, and may raise it.
    package static func forbid() { tributary_forbid_core_dumps() }
}
