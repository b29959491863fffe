// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// The ConfigMap in which the API server publishes how backends authenticate its requests.
const (
	AuthenticationNamespace = "kube-system"
	AuthenticationConfigMap = "extension-apiserver-authentication"
	RequestHeaderCAKey      = "requestheader-client-ca-file"
)

// The EndpointSlice in which the API server publishes its own endpoints.
const (
	APIServerNamespace = metav1.NamespaceDefault
	APIServerEndpoints = "kubernetes"
)

// Source is where facts are read from: watch caches that never make a read wait.
type Source struct {
	// Client reads what the operator's own cache has, and Prometheuses every Prometheus object.
	Client, Prometheuses client.Reader
	// Kinds starts and stops the watches, and says which kinds are served.
	Kinds interface {
		Ensure(ctx context.Context) Served
	}
	// Mapper knows the resources that the API server serves, as far as it has been asked for their groups. Discover makes one that
	// has not been asked for anything; nil where Mapper knows all.
	Mapper   meta.RESTMapper
	Discover func() (meta.RESTMapper, error)
	// Namespace of the operator.
	Namespace string
	// Authorities returns the certificate authorities that operands' sections of a spec name, by field; nil for none.
	Authorities func(v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority
	// Dial makes the connections to Prometheus; nil for those of the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// token is the last of the Prometheus that the operator runs, and shown is true once it was read back.
	token Token
	shown bool
}

// Read returns the facts for a spec, and for the Prometheus object that was chosen before where the spec names none. What cannot
// be read is a problem among them, and keeps nothing else from being read.
func (s *Source) Read(ctx context.Context, spec v1alpha1.MetricsPipelineSpec, chosen *v1alpha1.PrometheusReference) Facts {
	facts := Facts{Namespace: s.Namespace}
	noted := map[schema.GroupVersionKind]bool{}
	note := func(err error) bool {
		var unreadable *UnreadableError
		repeats := errors.As(err, &unreadable) && noted[unreadable.Kind] // Several reads of one kind fail alike.
		if unreadable != nil {
			noted[unreadable.Kind] = true
		}
		if err != nil && !repeats {
			facts.Problems = append(facts.Problems, err)
		}
		return err != nil
	}
	var err error
	facts.Served = s.Kinds.Ensure(ctx)
	facts.Mapper = present{RESTMapper: s.Mapper, gone: facts.Served.gone, anew: sync.OnceValues(s.discover)}
	facts.Incomplete = facts.Served.Err(kinds.CRD.GroupVersionKind) != nil
	for _, unreadable := range facts.Served.Unreadable {
		note(unreadable)
	}
	if facts.APIServices, err = s.MetricsAPIs(ctx); note(err) {
		facts.Unplannable = err
	}
	facts.Terminating, err = s.Terminating(ctx)
	note(err)
	if facts.APIServerPorts, err = s.apiServerPorts(ctx); note(err) {
		facts.Incomplete = true
	}
	if facts.SystemPriority, err = s.systemPriority(ctx); note(err) {
		facts.Incomplete = true
	}
	if facts.PlatformUsers, err = s.platformUsers(ctx); note(err) {
		facts.Incomplete = true
	}
	facts.RequestHeaderCA, err = s.requestHeaderCA(ctx)
	note(err)
	facts.Nodes, err = s.nodes(ctx)
	note(err)
	facts.Authorities, err = s.authorities(ctx, spec)
	note(err)
	facts.Prometheus, err = s.prometheus(ctx, spec, facts.Served, chosen)
	note(err)
	return facts
}

// MetricsAPIs returns the APIServices of metrics APIs by name, ours and foreign ones.
func (s *Source) MetricsAPIs(ctx context.Context) (map[string]*apiregv1.APIService, error) {
	apiServices := map[string]*apiregv1.APIService{}
	for _, api := range metricsapi.All() {
		found := &apiregv1.APIService{}
		err := s.Client.Get(ctx, client.ObjectKey{Name: api.Name()}, found)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read APIService %s: %w", api.Name(), err)
		}
		found.SetGroupVersionKind(kinds.APIService.GroupVersionKind) // The cache strips it.
		apiServices[api.Name()] = found
	}
	return apiServices, nil
}

// Terminating is true while the operator's namespace is being deleted. An operator that runs outside of the cluster may name
// one that does not exist yet.
func (s *Source) Terminating(ctx context.Context) (bool, error) {
	namespace, err := s.ownNamespace(ctx)
	return !namespace.GetDeletionTimestamp().IsZero(), err
}

// ownNamespace returns the metadata of the operator's namespace; empty where there is none.
func (s *Source) ownNamespace(ctx context.Context) (client.Object, error) {
	namespace := kinds.Namespace.New()
	err := s.Client.Get(ctx, client.ObjectKey{Name: s.Namespace}, namespace)
	if client.IgnoreNotFound(err) != nil {
		return namespace, fmt.Errorf("read Namespace %s: %w", s.Namespace, err)
	}
	return namespace, nil
}

// UsersAnnotation of a namespace has the range of users from which OpenShift chooses those of its pods. It refuses pods that name one.
const UsersAnnotation = "openshift.io/sa.scc.uid-range"

// platformUsers is true where the platform chooses the users of the pods of the operator's namespace.
func (s *Source) platformUsers(ctx context.Context) (bool, error) {
	namespace, err := s.ownNamespace(ctx)
	_, chosen := namespace.GetAnnotations()[UsersAnnotation]
	return chosen, err
}

// apiServerPorts returns the ports of the API server's own endpoints, which components must be able to reach.
func (s *Source) apiServerPorts(ctx context.Context) ([]int32, error) {
	endpoints := &discoveryv1.EndpointSlice{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: APIServerNamespace, Name: APIServerEndpoints}, endpoints)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read the API server's EndpointSlice %s/%s: %w", APIServerNamespace, APIServerEndpoints, err)
	}
	var ports []int32
	for _, port := range endpoints.Ports {
		if port.Port != nil {
			ports = append(ports, *port.Port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

func (s *Source) requestHeaderCA(ctx context.Context) (bool, error) {
	authentication := &corev1.ConfigMap{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: AuthenticationNamespace, Name: AuthenticationConfigMap}, authentication)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read ConfigMap %s/%s: %w", AuthenticationNamespace, AuthenticationConfigMap, err)
	}
	return authentication.Data[RequestHeaderCAKey] != "", nil
}

// prometheus chooses the source of application metrics and reads what it demands of its clients.
func (s *Source) prometheus(
	ctx context.Context, spec v1alpha1.MetricsPipelineSpec, served Served, chosen *v1alpha1.PrometheusReference,
) (Prometheus, error) {
	inForce := metricsapi.InForce(spec)
	p := Prometheus{Required: len(inForce.CustomMetrics.Rules)+len(inForce.ExternalMetrics.Rules) > 0 ||
		inForce.ResourceMetrics.FromPrometheus()}
	if spec.Prometheus.URL == "" && spec.Prometheus.Ref == nil && spec.Prometheus.Managed == nil {
		p.Chosen = chosen
	}
	objects, err := PrometheusObjects(ctx, s.Prometheuses, s.Client, s.Namespace, served, spec.Prometheus, p.Chosen)
	p.Managed = objects.Managed
	if err != nil && spec.Prometheus.URL == "" {
		// Which Prometheus there is stays unknown, and that must not look like none.
		p.NotFound = &prometheus.NotFoundError{Reason: v1alpha1.ReasonUnreadable,
			Message: fmt.Sprintf("Which Prometheus to use is not known: %v.", err)}
		return p, err
	}
	target, err := prometheus.Resolve(spec.Prometheus, objects, p.Chosen)
	if errors.As(err, &p.NotFound) {
		p.Target = target
		p.Chosen = cmp.Or(target.Chosen, p.Chosen)
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.Target, p.Chosen = target, target.Chosen
	if target.Managed {
		return p, s.managedAccess(ctx, spec.Prometheus, &p)
	}
	if p.CredentialsWithheld = withheld(spec.Prometheus, target); p.CredentialsWithheld != "" {
		return p, nil
	}
	p.Access, p.CredentialsMissing, err = s.Access(ctx, spec.Prometheus)
	return p, err
}
