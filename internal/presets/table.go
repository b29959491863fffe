// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package presets

// All are the presets, by name.
var All = []Preset{
	{
		Name: "envoy-gateway", Title: "Envoy Gateway", Namespace: "envoy-gateway-system", Object: httpRoute,
		Metric: "envoy_cluster_upstream_rq_per_second", Series: "envoy_cluster_upstream_rq_total",
		NamespaceLabel: controllerLabel, ObjectLabel: "envoy_cluster_name",
		Within: "httproute/NAMESPACE/NAME/rule/[0-9]+(/backend/[0-9]+)?",
		Notes: []string{
			"An HTTPRoute with a dot in its name has no metric: Envoy cuts the name of a cluster at the first dot.",
			"There is no metric where EnvoyProxy sets telemetry.metrics.clusterStatName, or merges the clusters of backends: the series " +
				"do not name the HTTPRoute then.",
			"A retry counts as a request.",
		},
		Sources: []string{
			"envoyproxy/gateway v1.9.0: internal/gatewayapi/helpers.go, internal/gatewayapi/route.go, " +
				"internal/xds/bootstrap/bootstrap.yaml.tpl, charts/gateway-addons-helm/dashboards/envoy-clusters.json, " +
				"examples/kubernetes/metric/pod-monitor.yaml",
		},
	},
	{
		Name: "haproxy", Title: "HAProxy Kubernetes Ingress Controller", Namespace: "haproxy-controller", Object: service,
		Metric: "haproxy_backend_http_requests_per_second", Series: "haproxy_backend_http_requests_total",
		NamespaceLabel: controllerLabel, ObjectLabel: "proxy", Within: "NAMESPACE_([^_]+_)?svc_NAME_[^_]+",
		Sources: []string{
			"haproxytech/kubernetes-ingress v3.2.11: pkg/service/service.go, documentation/prometheus.md",
			"haproxy/haproxy 25b0592: addons/promex/README",
		},
	},
	{
		Name: "haproxy-ingress", Title: "HAProxy Ingress", Namespace: "ingress-controller", Object: service,
		Metric: "haproxy_backend_http_requests_per_second", Series: "haproxy_backend_http_requests_total",
		NamespaceLabel: controllerLabel, ObjectLabel: "proxy", Within: "NAMESPACE_NAME_[^_]+",
		Sources: []string{
			"jcmoraisjr/haproxy-ingress v0.16.1: pkg/haproxy/types/backends.go, docs/content/en/docs/examples/metrics.md and its dashboard",
		},
	},
	{
		Name: "ingress-nginx", Title: "Ingress NGINX Controller", Namespace: "ingress-nginx", Object: ingress,
		Metric: "nginx_ingress_controller_requests_per_second", Series: "nginx_ingress_controller_requests",
		NamespaceLabel: "exported_namespace", ObjectLabel: "ingress",
		Notes: []string{
			"There is no metric where the monitor of the controller has honorLabels: true: its series could then not be told from those " +
				"of an app.",
		},
		Sources: []string{
			"kubernetes/ingress-nginx controller-v1.15.0: internal/ingress/metric/collectors/socket.go, docs/user-guide/monitoring.md, " +
				"charts/ingress-nginx/templates/controller-servicemonitor.yaml",
		},
	},
	{
		Name: "istio", Title: "Istio ingress gateway", Namespace: "istio-system", Object: service,
		Metric: "istio_requests_per_second", Series: "istio_requests_total", Matchers: `reporter="source"`,
		NamespaceLabel: "destination_service_namespace", ObjectLabel: "destination_service_name",
		Notes: []string{
			"Requests through the gateways of that namespace are counted, and not those between apps.",
		},
		Sources: []string{
			"istio/istio 1.31.0-rc.0: tests/integration/telemetry/api/stats_test.go, samples/addons/extras/prometheus-operator.yaml",
			"https://istio.io/latest/docs/reference/config/metrics",
		},
	},
	{
		Name: "traefik", Title: "Traefik v3, for Ingress", Namespace: "traefik", Object: service,
		Metric: "traefik_service_requests_per_second", Series: "traefik_service_requests_total",
		NamespaceLabel: controllerLabel, ObjectLabel: "service", Within: "NAMESPACE-NAME-[0-9a-z]+@kubernetes", MovedTo: "exported_service",
		Notes: []string{
			"Traefik joins namespace and Service by a dash: Service c-d of namespace a and Service d of namespace a-c are one to it, in " +
				"what it counts and in where it sends requests. Use it where no namespace has a name that begins with that of another " +
				"and a dash.",
			"There is no metric where the Ingress names a port of the Service by a name with a dash, or the Service or its namespace has " +
				"two dashes in a row.",
			"Services of an IngressRoute or an HTTPRoute are not counted.",
		},
		Sources: []string{
			"traefik/traefik v3.6.12 and v3.7.9: pkg/provider/kubernetes/ingress/kubernetes.go, pkg/provider/configuration.go, " +
				"pkg/observability/metrics/prometheus.go, pkg/middlewares/metrics/metrics.go",
		},
	},
}
