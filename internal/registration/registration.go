// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registration registers metrics APIs: when an APIService may be made or taken over, and when one whose backend stays
// unavailable is deleted.
package registration

import (
	"encoding/base64"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
)

const (
	// PortName is the port of a backend's Service and Pods.
	PortName = "https"
	// groupPriority is that of all three groups upstream.
	groupPriority = 100
	// servicePort is what the API server connects to.
	servicePort = 443
)

// Object returns the registration of a metrics API. caBundle and insecureSkipTLSVerify are written together: the API server
// refuses an object in which one manager's caBundle meets another's skip flag.
func Object(api metricsapi.API, c operand.Component, caBundle []byte) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiregv1.SchemeGroupVersion.String(),
		"kind":       "APIService",
		"metadata":   map[string]any{"name": api.Name()},
		"spec": map[string]any{
			"group":                 api.Group,
			"version":               api.Version,
			"groupPriorityMinimum":  int64(groupPriority),
			"versionPriority":       int64(api.VersionPriority),
			"caBundle":              base64.StdEncoding.EncodeToString(caBundle),
			"insecureSkipTLSVerify": false,
			"service": map[string]any{
				"namespace": c.Namespace,
				"name":      c.Service,
				"port":      int64(servicePort),
			},
		},
	}}
	object.SetLabels(ownership.Labels(c.Name))
	return object
}

// Waiting returns what keeps an API of a component from being registered; empty when one endpoint presents a certificate that
// verifies, and no pod of an earlier rollout is left, which may not know the API.
func Waiting(c operand.Component, workloads []cluster.Workload, rolledOut func(cluster.Workload) bool, answers []probe.Answer) string {
	for _, workload := range workloads {
		if !rolledOut(workload) {
			return fmt.Sprintf("The Deployment %s/%s is being rolled out; the API is registered when it serves.",
				c.Namespace, workload.Name)
		}
	}
	return unverified(c, answers)
}

// unverified returns why no endpoint is known to present a certificate that verifies; empty when one does.
func unverified(c operand.Component, answers []probe.Answer) string {
	if len(answers) == 0 {
		return fmt.Sprintf("The Service %s/%s has no ready endpoint yet; the API is registered when it has.", c.Namespace, c.Service)
	}
	message := "The backend's certificate is being verified."
	for _, answer := range answers {
		switch {
		case answer.Yes():
			return ""
		case answer.Err != nil:
			message = fmt.Sprintf("The API is registered when a backend's certificate verifies: %v.", answer.Err)
		}
	}
	return message
}
