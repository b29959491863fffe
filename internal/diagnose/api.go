// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// apiStep is the metrics API that the metric is read from. What the sentences say of it names no object: these are of other namespaces.
var apiStep = step{
	name:    LinkAPI,
	faults:  []check{apiNotKEDA, apiNotWanted, apiNotRegistered, apiUnavailable, apiForeign},
	starved: apiWithoutRules,
	seen: func(v view) string {
		switch api := v.metric.API; {
		case !api.Registered:
			return ""
		case api.Ours && api.Backend != "":
			return fmt.Sprintf("%s is available, and served by %s.", v.group(), name(api.Backend))
		case api.Ours:
			return v.group() + " is available, and served by this pipeline."
		default:
			return v.group() + " is available, and served by another owner."
		}
	},
}

// apiNotWanted is that nothing is to register the API.
func apiNotWanted(v view) *Finding {
	api := v.metric.API
	switch {
	case api.Registered:
		return nil
	case api.NoPipeline:
		return byAdministrator(found(v1alpha1.AutoscalerPipelineMissing,
			fmt.Sprintf("Nothing registers %s, and the cluster has no MetricsPipeline.", v.group()),
			"An administrator creates the MetricsPipeline default; spec: {} is enough."))
	case api.Policy == string(v1alpha1.PolicyDisabled):
		return byAdministrator(found(v1alpha1.AutoscalerAPIDisabled,
			fmt.Sprintf("Nothing registers %s, and %s.policy of MetricsPipeline default is Disabled.", v.group(), v.field()),
			"An administrator sets "+v.field()+".policy to Auto."))
	case api.Policy == string(v1alpha1.PolicyObserve):
		return byAdministrator(found(v1alpha1.AutoscalerAPIObserved,
			fmt.Sprintf("Nothing registers %s, and %s.policy of MetricsPipeline default is Observe.", v.group(), v.field()),
			"An administrator sets "+v.field()+".policy to Auto, or installs what is to serve it."))
	default:
		return nil
	}
}

// apiNotRegistered leaves an API that no rule fills to the links behind it: it is registered once there is a rule.
func apiNotRegistered(v view) *Finding {
	if v.metric.API.Registered || v.fromSeries() && !v.served() {
		return nil
	}
	return notRegistered(v)
}

func notRegistered(v view) *Finding {
	why := ""
	if v.metric.API.Reason != "" {
		why = ", with the reason " + name(v.metric.API.Reason) + " in status.apiServices"
	}
	return byAdministrator(found(v1alpha1.AutoscalerAPINotRegistered,
		fmt.Sprintf("MetricsPipeline default has not registered %s yet%s.", v.group(), why),
		"An administrator acts on the conditions of MetricsPipeline default that are not True."))
}

func apiWithoutRules(v view) *Finding {
	if v.metric.API.Registered {
		return nil
	}
	return notRegistered(v)
}

// aggregated says the reasons of kube-aggregator in words.
var aggregated = map[string]string{
	"ServiceNotFound":      "the Service of its backend does not exist",
	"ServiceAccessError":   "the Service of its backend cannot be read",
	"ServicePortError":     "the Service of its backend has not the port",
	"EndpointsNotFound":    "the Service of its backend has no endpoints",
	"EndpointsAccessError": "the endpoints of its backend cannot be read",
	"MissingEndpoints":     "no pod of its backend is Ready",
	"FailedDiscoveryCheck": "its backend does not answer the API server",
}

func apiUnavailable(v view) *Finding {
	api := v.metric.API
	if !api.Registered || api.Available {
		return nil
	}
	why := aggregated[api.Reason]
	if why == "" {
		why = "the reason is " + name(api.Reason)
	} else {
		why += " (" + api.Reason + ")"
	}
	remedy := "An administrator corrects the backend that serves it; it belongs to another owner than this pipeline."
	if api.Ours {
		remedy = "An administrator acts on status.apiServices and ComponentsReady of MetricsPipeline default."
	}
	return byAdministrator(found(v1alpha1.AutoscalerAPIUnavailable, fmt.Sprintf("%s is not available: %s.", v.group(), why), remedy))
}

// apiForeign is no fault of metrics.k8s.io, which gives the same whoever serves it, nor of what KEDA serves to its own HPAs.
func apiForeign(v view) *Finding {
	api := v.metric.API
	if !api.Registered || api.Ours || v.group() == metricsapi.Resource.Group || v.fromKEDA() {
		return nil
	}
	remedy := fmt.Sprintf("An administrator adds the metric there, or sets %s.policy of MetricsPipeline default to TakeOver.", v.field())
	if api.NoPipeline {
		remedy = "An administrator adds the metric there."
	}
	return byAdministrator(found(v1alpha1.AutoscalerAPIForeign,
		fmt.Sprintf("%s is served by another owner than a MetricsPipeline, and that one has no value of the %s.", v.group(), v.measured()),
		remedy))
}

// pipelines is true where the pipeline makes the metric, or is to make it.
func (v view) pipelines() bool {
	return v.fromSeries() && !v.fromKEDA() && (v.metric.API.Ours || !v.metric.API.Registered)
}
