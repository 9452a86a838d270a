/// Served where no configuration is given and nobody serves yet: enough to see the program work.
public let embeddedDefaultConfiguration = """
    admin:
      address:
        socket_address: { address: 127.0.0.1, port_value: 9901 }
    static_resources:
      listeners:
        - name: echo
          address:
            socket_address: { address: 127.0.0.1, port_value: 10000 }
          filter_chains:
            - filters:
                - name: envoy.filters.network.echo
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo

    """
