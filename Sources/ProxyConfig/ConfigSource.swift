public import ProxyModel

/// Where the configuration comes from: a file, text given on the command line, or both (the text is merged over the file).
public struct ConfigSource: Sendable, Equatable {
    /// `-c`, `--config-path`.
    public var path: String?
    /// `--config-yaml`.
    public var yaml: String?

    public init(path: String? = nil, yaml: String? = nil) {
        self.path = path
        self.yaml = yaml
    }
}

/// How to read a configuration.
public struct ConfigOptions: Sendable, Equatable {
    /// Unknown fields are warnings instead of errors.
    public var allowUnknownStaticFields = false
    /// Check that the files the configuration names (access logs, pipes) could be created. Nothing is created.
    public var checkFiles = true

    public init(allowUnknownStaticFields: Bool = false, checkFiles: Bool = true) {
        self.allowUnknownStaticFields = allowUnknownStaticFields
        self.checkFiles = checkFiles
    }
}

/// A configuration without errors, in the form the server uses and in the form the admin page shows.
public struct LoadedConfiguration: Sendable, Equatable {
    public var configuration: Configuration
    /// What did not stop the configuration from being used.
    public var warnings: [Diagnostic]
    /// The effective bootstrap as protobuf JSON: original field names, one space of indent per level.
    public var bootstrapJSON: String
    /// The same for each of `configuration.listeners`, in that order.
    public var listenerJSON: [String]
    /// The same for each of `configuration.clusters`, in that order.
    public var clusterJSON: [String]
    /// FNV-1a of `bootstrapJSON`: equal for equal configurations, whatever their layout.
    public var hash: UInt64
}

/// A configuration that cannot be used: every finding of the run, errors and warnings, sorted by place.
public struct ConfigError: Error, Sendable, Equatable {
    public var diagnostics: [Diagnostic]

    public init(diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }
}
