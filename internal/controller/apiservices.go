// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/probe"
)

var apiServiceKind = apiregv1.SchemeGroupVersion.WithKind("APIService")

const (
	// groupPriority is upstream's for all three groups.
	groupPriority = 100
	// portName is the port of a backend's Service and Pods.
	portName = "https"
	// servicePort is what the API server connects to.
	servicePort = 443
)

// applyAPIServices registers each metrics API once its backend answers with a certificate that the caBundle verifies. An
// APIService whose backend does not answer blocks the deletion of every namespace in the cluster, so none is made before.
func (r *Reconciler) applyAPIServices(ctx context.Context, s *scope) error {
	endpoints, err := r.endpoints(ctx, s)
	if err != nil {
		return err
	}
	questions := []probe.Question{}
	for _, c := range s.plan.Components {
		for _, address := range endpoints[c.Name] {
			questions = append(questions, servingQuestion(c, address, s.authority.Cert))
		}
	}
	if question, ask := r.prometheusQuestion(s); ask {
		questions = append(questions, question)
	}
	answers := map[string]probe.Answer{}
	//nolint:contextcheck // a question outlives the reconcile that asked it, so it must not end with its context
	for i, answer := range r.prober.Answers(questions...) {
		answers[questions[i].Key] = answer
	}
	if question, ask := r.prometheusQuestion(s); ask {
		s.observed.prometheus.answer = answers[question.Key]
	}

	for _, c := range s.plan.Components {
		waiting := waitingFor(c, endpoints[c.Name], s.authority.Cert, answers)
		for _, api := range c.APIs {
			_, registered := s.apiServices[api.Name()]
			if waiting != "" && !registered {
				s.observed.waiting(api, waiting)
				continue
			}
			owners := []metav1.OwnerReference{pipelineOwner(s.pipeline)}
			if err := r.applyOwned(ctx, s, apiService(api, c, s.authority.Cert), owners); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitingFor returns what keeps a component from serving; empty when one endpoint answers as it should.
func waitingFor(c component.Component, addresses []string, caBundle []byte, answers map[string]probe.Answer) string {
	if len(addresses) == 0 {
		return fmt.Sprintf("The Service %s/%s has no ready endpoint yet; the API is registered when it has.", c.Namespace, c.Name)
	}
	message := ""
	for _, address := range addresses {
		answer := answers[servingQuestion(c, address, caBundle).Key]
		switch {
		case answer.Yes():
			return ""
		case answer.Err != nil:
			message = fmt.Sprintf("The API is registered when a backend's certificate verifies: %v.", answer.Err)
		}
	}
	if message == "" {
		message = "The backend's certificate is being verified."
	}
	return message
}

// servingQuestion asks whether an endpoint of a component presents a certificate that the API server will accept.
func servingQuestion(c component.Component, address string, caBundle []byte) probe.Question {
	names := c.DNSNames()
	serverName := names[len(names)-1]
	sum := sha256.Sum256(caBundle)
	return probe.Question{
		Key: fmt.Sprintf("serving %s %s %s", address, serverName, hex.EncodeToString(sum[:8])),
		Ask: func(ctx context.Context) error { return health.VerifyTLS(ctx, address, serverName, caBundle) },
	}
}

// endpoints returns the ready endpoints of each component.
func (r *Reconciler) endpoints(ctx context.Context, s *scope) (map[string][]string, error) {
	found := map[string][]string{}
	for _, c := range s.plan.Components {
		var endpointSlices discoveryv1.EndpointSliceList
		err := r.client.List(ctx, &endpointSlices, client.InNamespace(r.Namespace), client.MatchingLabels{
			v1alpha1.ManagedLabel: v1alpha1.SingletonName, discoveryv1.LabelServiceName: c.Name})
		if err != nil {
			return nil, fmt.Errorf("list the endpoints of %s: %w", c.Name, err)
		}
		found[c.Name] = health.ReadyEndpoints(endpointSlices.Items, portName)
	}
	return found, nil
}

// apiServerPorts returns the ports of the API server's own endpoints, which components must be able to reach.
func (r *Reconciler) apiServerPorts(ctx context.Context) ([]int32, error) {
	var endpointSlices discoveryv1.EndpointSliceList
	err := r.client.List(ctx, &endpointSlices, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of the API server: %w", err)
	}
	var ports []int32
	for _, slice := range endpointSlices.Items {
		for _, port := range slice.Ports {
			if port.Port != nil {
				ports = append(ports, *port.Port)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// apiService returns the registration of a metrics API. caBundle and insecureSkipTLSVerify are written together: the API
// server refuses an object in which one manager's caBundle meets another's skip flag.
func apiService(api component.API, c component.Component, caBundle []byte) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiregv1.SchemeGroupVersion.String(),
		"kind":       "APIService",
		"metadata": map[string]any{
			"name": api.Name(),
			"labels": map[string]any{
				v1alpha1.ManagedLabel:          v1alpha1.SingletonName,
				v1alpha1.ComponentLabel:        c.Name,
				"app.kubernetes.io/part-of":    "metricspipeline",
				"app.kubernetes.io/managed-by": "metricspipeline-operator",
			},
		},
		"spec": map[string]any{
			"group":                 api.Group,
			"version":               api.Version,
			"groupPriorityMinimum":  int64(groupPriority),
			"versionPriority":       int64(api.VersionPriority),
			"caBundle":              base64.StdEncoding.EncodeToString(caBundle),
			"insecureSkipTLSVerify": false,
			"service": map[string]any{
				"namespace": c.Namespace,
				"name":      c.Name,
				"port":      int64(servicePort),
			},
		},
	}}
}
