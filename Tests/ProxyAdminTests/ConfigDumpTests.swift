import ProxyModel
import Testing

@testable import ProxyAdmin

struct ConfigDumpTests {
    @Test("the whole dump: Envoy's six parts, clusters by name, types first")
    func whole() {
        #expect(
            Sample.snapshot().get("/config_dump").text == """
                {
                 "configs": [
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
                   "bootstrap": {
                    "node": {
                     "id": "n1"
                    }
                   },
                   "last_updated": "2026-11-24T03:44:05.123Z"
                  },
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
                   "static_clusters": [
                    {
                     "cluster": {
                      "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster"
                     },
                     "last_updated": "2026-11-24T03:44:05.123Z"
                    },
                    {
                     "cluster": {
                      "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                      "name": "up"
                     },
                     "last_updated": "2026-11-24T03:44:05.123Z"
                    }
                   ]
                  },
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
                   "static_listeners": [
                    {
                     "listener": {
                      "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                      "name": "tcp_l"
                     },
                     "last_updated": "2026-11-24T03:44:05.123Z"
                    }
                   ]
                  },
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.ScopedRoutesConfigDump"
                  },
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump"
                  },
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"
                  }
                 ]
                }

                """)
    }

    @Test("one list, narrowed by name as a whole")
    func resource() {
        let snapshot = Sample.snapshot()
        #expect(
            snapshot.get("/config_dump?resource=static_clusters&name_regex=u.").text == """
                {
                 "configs": [
                  {
                   "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster",
                   "cluster": {
                    "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                    "name": "up"
                   },
                   "last_updated": "2026-11-24T03:44:05.123Z"
                  }
                 ]
                }

                """)
        for query in ["resource=static_clusters&name_regex=u", "resource=dynamic_listeners", "resource=static_secrets"] {
            #expect(snapshot.get("/config_dump?\(query)").text == "{}\n", "\(query)")
        }
        let listeners = snapshot.get("/config_dump?resource=static_listeners").text
        #expect(listeners.contains("envoy.admin.v3.ListenersConfigDump.StaticListener\",\n   \"listener\": {"))
    }

    @Test("name_regex narrows the whole dump too")
    func nameRegex() {
        let text = Sample.snapshot().get("/config_dump?name_regex=tcp.*").text
        #expect(text.contains("static_listeners") && !text.contains("static_clusters"))
    }

    @Test(
        "refused",
        arguments: [
            ("resource=bogus", 404, "bogus not found in config dump"), ("resource=", 404, " not found in config dump"),
            ("name_regex=(", 400, "Error while parsing name_regex from (: missing ): ("),
            ("mask=bootstrap", 400, "mask is not supported here; use ?resource=static_listeners or ?resource=static_clusters"),
        ] as [(String, UInt32, String)])
    func refused(query: String, status: UInt32, text: String) {
        let response = Sample.snapshot().get("/config_dump?\(query)")
        #expect(response.status == status && response.text == text)
    }

    @Test("bootstrap is no list")
    func bootstrap() {
        let response = Sample.snapshot().get("/config_dump?resource=bootstrap")
        #expect(response.status == 400 && response.text.hasPrefix("bootstrap is not a repeated field. Use ?mask"))
    }

    @Test("JSON made elsewhere is laid out anew, strings untouched")
    func layout() {
        let raw = JSONValue.raw("{ \"a\\\\\\\" ,:{}[]\" :[ ],\n\"b\":{\t} , \"c\":[1,[2 ,{\"d\":\"e f\"}]]}")
        #expect(
            JSONValue.object([.init("r", raw)]).pretty == """
                {
                 "r": {
                  "a\\\\\\" ,:{}[]": [],
                  "b": {},
                  "c": [
                   1,
                   [
                    2,
                    {
                     "d": "e f"
                    }
                   ]
                  ]
                 }
                }
                """)
        #expect(JSONValue.raw("{\"a\":1}").compact == "{\"a\":1}")
        #expect(
            JSONValue.array([.null, .bool(true), .number(-1), .string("\u{7F}\n\u{2028}")]).compact
                == "[null,true,-1,\"\\u007f\\n\\u2028\"]")
    }
}
