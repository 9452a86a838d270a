/// The stable ids of findings about a configuration. An id is never given to another finding, and never reused after removal.
/// `DiagnosticCatalog` explains each.
public enum DiagnosticID: String, CaseIterable, Sendable {
    // Reading the text
    case unreadable = "PX-C001"
    case invalidText = "PX-C002"
    case unsupportedFormat = "PX-C003"
    case syntax = "PX-C004"
    case empty = "PX-C005"
    case notAMapping = "PX-C006"
    case severalDocuments = "PX-C007"
    case tooDeep = "PX-C008"
    case tooLarge = "PX-C009"
    case undefinedAlias = "PX-C010"
    case duplicateKey = "PX-C011"

    // Fields and their values
    case unknownField = "PX-C012"
    case unsupportedField = "PX-C013"
    case noEffect = "PX-C014"
    case deprecatedField = "PX-C015"
    case wrongType = "PX-C016"
    case badNumber = "PX-C017"
    case badDuration = "PX-C018"
    case unknownEnumValue = "PX-C019"
    case badBase64 = "PX-C020"
    case oneofConflict = "PX-C021"
    case missingField = "PX-C022"
    case outOfRange = "PX-C023"
    case itemCount = "PX-C024"
    case missingType = "PX-C026"
    case unknownType = "PX-C027"
    case unsupportedType = "PX-C028"
    case unsupportedValue = "PX-C029"
    case keyNotString = "PX-C030"
    case badMergeKey = "PX-C031"

    // Listeners
    case listenerWithoutAddress = "PX-C040"
    case notAnIPAddress = "PX-C041"
    case badPipe = "PX-C043"
    case duplicateListenerName = "PX-C044"
    case duplicateAddress = "PX-C045"
    case noFilterChain = "PX-C048"
    case severalFilterChains = "PX-C049"
    case noFilters = "PX-C050"
    case filterOrder = "PX-C051"
    case badSocketOption = "PX-C052"

    // Clusters
    case duplicateClusterName = "PX-C060"
    case unknownCluster = "PX-C061"
    case staticHostname = "PX-C062"
    case logicalDnsEndpoints = "PX-C063"
    case dnsPipe = "PX-C064"
    case weightSum = "PX-C065"
    case duplicateThreshold = "PX-C066"
    case endpointPort = "PX-C067"

    // Access logs and files
    case unknownLogOperator = "PX-C070"
    case badLogFormat = "PX-C071"
    case fileNotCreatable = "PX-C072"
    case fileNotReadable = "PX-C073"
    case environmentVariable = "PX-C074"

    // Runtime and overload
    case duplicateLayer = "PX-C080"
    case badRuntimeValue = "PX-C081"
    case limitWithoutListener = "PX-C082"
}
