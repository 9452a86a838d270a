import ProxyCore
import ProxyRestart

// The steps of a restart, by name, for tests that have something go wrong at each of them (Sources/ProxyCore/FaultPlan.swift says what
// can). In what is shipped these calls are nothing.

#if PX_FAULT_POINTS
    func faultPoint(_ step: StaticString) { FaultPlan.reach("\(step)") }
    func faultPoint(afterSending type: UInt16) {
        switch type {
        case MessageType.welcome: faultPoint("parent.afterWelcome")
        case MessageType.sockets: faultPoint("parent.afterSockets")
        case MessageType.inheritance: faultPoint("parent.afterControlSocket")
        default: break
        }
    }
    func faultPoint(afterKeeping type: UInt16) {
        switch type {
        case MessageType.welcome: faultPoint("keeper.afterWelcome")
        case MessageType.sockets: faultPoint("keeper.afterSockets")
        case MessageType.inheritance: faultPoint("keeper.afterControlSocket")
        default: break
        }
    }
    func deadlineMs(_ timer: RestartTimer, _ standard: UInt64) -> UInt64 { FaultPlan.deadline("\(timer)") ?? standard }
#else
    @inline(__always) func faultPoint(_ step: StaticString) {}
    @inline(__always) func faultPoint(afterSending type: UInt16) {}
    @inline(__always) func faultPoint(afterKeeping type: UInt16) {}
    @inline(__always) func deadlineMs(_ timer: RestartTimer, _ standard: UInt64) -> UInt64 { standard }
#endif
