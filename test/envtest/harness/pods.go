// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The components that the operator deploys.
const (
	MetricsServer     = "metrics-server"
	Adapter           = "prometheus-adapter"
	ManagedPrometheus = "managed-prometheus"
)

// components are what runs in pods, with the last part of the address and the APIs of each.
var components = map[string]struct {
	host byte
	apis []schema.GroupVersion
}{
	ManagedPrometheus: {13, nil},
	MetricsServer:     {10, []schema.GroupVersion{{Group: "metrics.k8s.io", Version: "v1beta1"}}},
	Adapter: {11, []schema.GroupVersion{
		{Group: "metrics.k8s.io", Version: "v1beta1"},
		{Group: "custom.metrics.k8s.io", Version: "v1beta1"},
		{Group: "custom.metrics.k8s.io", Version: "v1beta2"},
		{Group: "external.metrics.k8s.io", Version: "v1beta1"},
	}},
}

// Serves is true when a component can serve the metrics API of a name, VERSION.GROUP.
func Serves(component, api string) bool {
	return slices.ContainsFunc(components[component].apis, func(of schema.GroupVersion) bool { return of.Version+"."+of.Group == api })
}

// AddressOf returns the address of a component's pods.
func (c *Cluster) AddressOf(component string) string { return c.PodAddress(components[component].host) }

// DialManaged connects to the pods of the Prometheus that the operator runs, for a name that nothing resolves here, and to any other
// address by the network.
func (c *Cluster) DialManaged(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(address, ManagedPrometheus+"."+OperatorNamespace+".svc:") {
		address = net.JoinHostPort(c.AddressOf(ManagedPrometheus), strconv.Itoa(backendPort))
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// Pods plays kubelet and the controllers of Deployments and EndpointSlices: it looks at what there is, and as soon as a
// component could run, it runs, serves with the certificate in its Secret and is an endpoint of its Service. A claim that is deleted goes.
type Pods struct {
	cluster *Cluster
	seen    cache.Cache
	changed chan struct{}
	end     context.CancelFunc
	ended   sync.WaitGroup

	running map[string]*running
}

// running is one component.
type running struct {
	backend *Backend
	// secret is the version of the serving pair that it presents, and service that of the Service it was published for.
	secret, service string
}

// StartPods plays until Stop.
func (c *Cluster) StartPods(ctx context.Context) (*Pods, error) {
	seen, err := cache.New(c.Config, cache.Options{Scheme: Scheme,
		DefaultNamespaces: map[string]cache.Config{OperatorNamespace: {}}})
	if err != nil {
		return nil, err
	}
	p := &Pods{cluster: c, seen: seen, changed: make(chan struct{}, 1), running: map[string]*running{}}
	ctx, p.end = context.WithCancel(ctx)
	for _, object := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}, &corev1.Secret{}, &discoveryv1.EndpointSlice{},
		&corev1.PersistentVolumeClaim{}} {
		informer, err := seen.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { p.wake() },
			UpdateFunc: func(any, any) { p.wake() },
			DeleteFunc: func(any) { p.wake() },
		}); err != nil {
			return nil, err
		}
	}
	p.ended.Go(func() { _ = seen.Start(ctx) })
	p.ended.Go(func() { p.play(ctx) })
	return p, nil
}

// Stop ends all pods.
func (p *Pods) Stop() {
	p.end()
	p.ended.Wait()
}

func (p *Pods) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *Pods) play(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for _, r := range p.running {
				if r.backend != nil {
					_ = r.backend.Stop(context.WithoutCancel(ctx))
				}
			}
			return
		case <-p.changed:
		}
		if p.releaseClaims(ctx) != nil {
			time.AfterFunc(10*time.Millisecond, p.wake)
		}
		for name := range components {
			// What fails, because it changes meanwhile or is not whole, is looked at again.
			if p.step(ctx, name) != nil {
				time.AfterFunc(10*time.Millisecond, p.wake)
			}
		}
	}
}

// step does what is next for one component.
func (p *Pods) step(ctx context.Context, name string) error {
	if p.running[name] == nil {
		p.running[name] = &running{}
	}
	r, key := p.running[name], client.ObjectKey{Namespace: OperatorNamespace, Name: name}
	deployment, service, secret := &appsv1.Deployment{}, &corev1.Service{}, &corev1.Secret{}
	deployed, err := p.get(ctx, key, deployment)
	if err != nil {
		return err
	}
	exposed, err := p.get(ctx, key, service)
	if err != nil {
		return err
	}
	key.Name += "-tls"
	certified, err := p.get(ctx, key, secret)
	if err != nil {
		return err
	}
	if certified && secret.ResourceVersion != r.secret {
		if err := p.serve(ctx, name, r, secret); err != nil {
			return err
		}
	}
	if !deployed || r.backend == nil {
		r.service = ""
		return p.withdraw(ctx, name)
	}
	if err := p.rollOut(ctx, deployment); err != nil {
		return err
	}
	slices, err := p.endpoints(ctx, name)
	if err != nil {
		return err
	}
	if version := string(service.UID) + " " + service.ResourceVersion; exposed && (version != r.service || len(slices) == 0) {
		if err := r.backend.Publish(ctx, true); err != nil {
			return err
		}
		r.service = version
	}
	return nil
}

// releaseClaims ends the protection of claims that are deleted, as if no pod used them any more.
func (p *Pods) releaseClaims(ctx context.Context) error {
	claims := &corev1.PersistentVolumeClaimList{}
	if err := p.seen.List(ctx, claims); err != nil {
		return err
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		if claim.DeletionTimestamp.IsZero() || len(claim.Finalizers) == 0 {
			continue
		}
		claim.Finalizers = nil
		if err := client.IgnoreNotFound(p.cluster.Client.Update(ctx, claim)); err != nil {
			return err
		}
	}
	return nil
}

// rollOut says in a Deployment's status what comes of its present specification.
func (p *Pods) rollOut(ctx context.Context, deployment *appsv1.Deployment) error {
	seen := deployment.Status.ObservedGeneration == deployment.Generation
	switch {
	case !starts(deployment) && !seen:
		return p.cluster.MarkRolloutStuck(ctx, deployment.Namespace, deployment.Name)
	case starts(deployment) && (!seen || deployment.Status.AvailableReplicas != *deployment.Spec.Replicas):
		return p.cluster.MarkDeploymentAvailable(ctx, deployment.Namespace, deployment.Name)
	}
	return nil
}

// NeverStarts is in each value of a field with which new pods do not start: an image that does not exist, a flag that the program
// does not know, a node that there is none of.
const NeverStarts = "never.example.com"

func starts(deployment *appsv1.Deployment) bool {
	return !strings.Contains(deployment.Spec.Template.String(), NeverStarts)
}

func (p *Pods) get(ctx context.Context, key client.ObjectKey, object client.Object) (bool, error) {
	err := p.seen.Get(ctx, key, object)
	return err == nil, client.IgnoreNotFound(err)
}

// serve starts a component with the pair in its Secret, or lets it present that from now on.
func (p *Pods) serve(ctx context.Context, name string, r *running, secret *corev1.Secret) error {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		r.secret = secret.ResourceVersion
		return nil //nolint:nilerr // it keeps the pair that it has, until there is another
	}
	if r.backend == nil {
		r.backend, err = p.cluster.ServeBackend(ctx, OperatorNamespace, name, p.cluster.AddressOf(name), pair, components[name].apis...)
		if err != nil {
			return fmt.Errorf("starting the pods of %s: %w", name, err)
		}
	} else {
		r.backend.Present(pair)
	}
	r.secret = secret.ResourceVersion
	return nil
}

// withdraw removes the endpoints of pods that no longer run.
func (p *Pods) withdraw(ctx context.Context, name string) error {
	slices, err := p.endpoints(ctx, name)
	for i := range slices {
		if err == nil {
			err = client.IgnoreNotFound(p.cluster.Client.Delete(ctx, &slices[i]))
		}
	}
	return err
}

func (p *Pods) endpoints(ctx context.Context, name string) ([]discoveryv1.EndpointSlice, error) {
	slices := &discoveryv1.EndpointSliceList{}
	err := p.seen.List(ctx, slices, client.MatchingLabels{discoveryv1.LabelServiceName: name})
	return slices.Items, err
}
