// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/base64"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/probe"
)

var (
	apiServiceKind = apiregv1.SchemeGroupVersion.WithKind("APIService")
	deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")
)

const (
	// groupPriority is upstream's for all three groups.
	groupPriority = 100
	// portName is the port of a backend's Service and Pods.
	portName = "https"
	// servicePort is what the API server connects to.
	servicePort = 443
)

// trust lets the API server know the certificate authorities of what is registered before any backend can present a
// certificate of a new one. What is trusted follows from what was trusted before, so one that has changed since it was read is
// read again.
func (r *Reconciler) trust(ctx context.Context, s *scope) error {
	if err := r.certificatesContested(ctx, s); err != nil {
		return err
	}
	for _, c := range s.plan.Components {
		for _, api := range c.APIs {
			if !s.registered(api) || len(s.bundles[c.Name]) == 0 {
				continue
			}
			object := apiService(api, c, s.bundles[c.Name])
			onlyAsRead(object, s.apiServices[api.Name()])
			if err := r.applyOwned(ctx, s, object, s.owners("")); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyAPIServices registers each other metrics API once its backend answers with a certificate that the caBundle verifies. An
// APIService whose backend does not answer blocks the deletion of every namespace in the cluster, so none is made before. One
// of somebody else that is to be taken over stays as it is until then, and is switched by one write.
func (r *Reconciler) applyAPIServices(ctx context.Context, s *scope) error {
	for _, c := range s.plan.Components {
		waiting, err := r.waitingFor(ctx, c, s.serving[c.Name])
		if err != nil {
			return err
		}
		if s.waitsForCertificate(c.Name) {
			waiting = "The backend waits for its certificate, see the condition CertificatesReady."
		}
		for _, api := range c.APIs {
			if s.registered(api) {
				continue // Done by trust.
			}
			if away, kept := r.keptAway(s, api, waiting); kept {
				s.observed.waitingBecause(api, v1alpha1.ReasonDeregistered, away)
				continue
			}
			if waiting != "" {
				s.observed.waiting(api, waiting)
				continue
			}
			if err := r.register(ctx, s, api, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// register makes the APIService of a metrics API, or switches that of somebody else.
func (r *Reconciler) register(ctx context.Context, s *scope, api component.API, c component.Component) error {
	object := apiService(api, c, s.bundles[c.Name])
	write, foreign := r.applier.Apply, s.apiServices[api.Name()]
	if foreign != nil {
		write = r.applier.TakeOver
	}
	result, err := r.writeOwned(ctx, s, object, s.owners(""), write)
	if err != nil {
		return err
	}
	s.observed.waiting(api, "The APIService of "+c.Name+" has just been written.")
	if result == apply.Unchanged {
		return nil // The cache has not seen it yet.
	}
	r.registrationOf(api).registered(r.clock.Now())
	if foreign != nil {
		s.observed.takenOver = append(s.observed.takenOver, change{api.Name(), health.Owner(foreign)})
	}
	return nil
}

// certificatesContested ends the phases when somebody keeps changing a Secret of ours with a certificate: with each reconcile
// another certificate would be issued that cannot be stored, and nothing may come to trust it.
func (r *Reconciler) certificatesContested(ctx context.Context, s *scope) error {
	for _, c := range s.plan.Components {
		serves, found := s.serves[c.Name]
		if !found {
			continue
		}
		secret := tlsSecret(r.Namespace, c.ServingSecret(), c.Name, serves, serves.authority)
		if err := r.applier.Contested(ctx, secret); err != nil {
			s.observed.issuedCertificates = nil
			s.wanted[apply.Identity(secret)] = true
			return err
		}
	}
	return nil
}

// registered is true for a metrics API whose APIService is ours.
func (s *scope) registered(api component.API) bool {
	found := s.apiServices[api.Name()]
	return found != nil && health.Ours(found)
}

// waitingFor returns what keeps a component from serving an API that it did not serve before; empty when one endpoint
// answers as it should, and no pod is left that runs as specified earlier, when it may not have known the API.
func (r *Reconciler) waitingFor(ctx context.Context, c component.Component, answers []probe.Answer) (string, error) {
	deployment := &appsv1.Deployment{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, deployment)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read Deployment %s/%s: %w", c.Namespace, c.Name, err)
	}
	deployment.SetGroupVersionKind(deploymentKind)
	known := err == nil && !r.applier.Behind(deployment, apply.Identity(deployment))
	if !known || !health.RolledOut(deployment) {
		return fmt.Sprintf("The Deployment %s/%s is being rolled out; the API is registered when it serves.", c.Namespace, c.Name), nil
	}
	return unverified(c, answers), nil
}

// unverified returns why no endpoint is known to answer as it should; empty when one does.
func unverified(c component.Component, answers []probe.Answer) string {
	if len(answers) == 0 {
		return fmt.Sprintf("The Service %s/%s has no ready endpoint yet; the API is registered when it has.", c.Namespace, c.Name)
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

// apiService returns the registration of a metrics API. caBundle and insecureSkipTLSVerify are written together: the API
// server refuses an object in which one manager's caBundle meets another's skip flag.
func apiService(api component.API, c component.Component, caBundle []byte) *unstructured.Unstructured {
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
				"name":      c.Name,
				"port":      int64(servicePort),
			},
		},
	}}
	object.SetLabels(component.Labels(c.Name))
	return object
}
