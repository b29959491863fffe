// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"crypto/tls"
	"fmt"
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

	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	metricsServer = "metrics-server"
	adapter       = "prometheus-adapter"
)

// components are what runs in pods, with the last part of the address and the APIs of each.
var components = map[string]struct {
	host byte
	apis []schema.GroupVersion
}{
	metricsServer: {10, []schema.GroupVersion{{Group: "metrics.k8s.io", Version: "v1beta1"}}},
	adapter: {11, []schema.GroupVersion{
		{Group: "custom.metrics.k8s.io", Version: "v1beta1"},
		{Group: "custom.metrics.k8s.io", Version: "v1beta2"},
		{Group: "external.metrics.k8s.io", Version: "v1beta1"},
	}},
}

// pods plays kubelet and the controllers of Deployments and EndpointSlices: it looks at what there is, and as soon as a
// component could run, it runs, serves with the certificate in its Secret and is an endpoint of its Service.
type pods struct {
	cluster *harness.Cluster
	seen    cache.Cache
	news    chan struct{}
	end     context.CancelFunc
	ended   sync.WaitGroup

	running map[string]*running
}

// running is one component.
type running struct {
	backend *harness.Backend
	// secret is the version of the serving pair that it presents, and service that of the Service it was published for.
	secret, service string
}

// startPods plays until stop.
func startPods(ctx context.Context, c *harness.Cluster) (*pods, error) {
	seen, err := cache.New(c.Config, cache.Options{Scheme: harness.Scheme,
		DefaultNamespaces: map[string]cache.Config{harness.OperatorNamespace: {}}})
	if err != nil {
		return nil, err
	}
	p := &pods{cluster: c, seen: seen, news: make(chan struct{}, 1), running: map[string]*running{}}
	ctx, p.end = context.WithCancel(ctx)
	for _, object := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}, &corev1.Secret{}, &discoveryv1.EndpointSlice{}} {
		informer, err := seen.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { p.tell() },
			UpdateFunc: func(any, any) { p.tell() },
			DeleteFunc: func(any) { p.tell() },
		}); err != nil {
			return nil, err
		}
	}
	p.ended.Go(func() { _ = seen.Start(ctx) })
	p.ended.Go(func() { p.play(ctx) })
	return p, nil
}

func (p *pods) stop() {
	p.end()
	p.ended.Wait()
}

func (p *pods) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *pods) play(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for _, r := range p.running {
				if r.backend != nil {
					_ = r.backend.Stop(context.WithoutCancel(ctx))
				}
			}
			return
		case <-p.news:
		}
		for name := range components {
			// What fails, because it changes meanwhile or is not whole, is looked at again.
			if p.step(ctx, name) != nil {
				time.AfterFunc(10*time.Millisecond, p.tell)
			}
		}
	}
}

// step does what is next for one component.
func (p *pods) step(ctx context.Context, name string) error {
	if p.running[name] == nil {
		p.running[name] = &running{}
	}
	r, key := p.running[name], client.ObjectKey{Namespace: harness.OperatorNamespace, Name: name}
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
	switch starts := starts(deployment); {
	case !starts && deployment.Status.ObservedGeneration != deployment.Generation:
		if err := p.cluster.MarkRolloutStuck(ctx, harness.OperatorNamespace, name); err != nil {
			return err
		}
	case starts && (deployment.Status.ObservedGeneration != deployment.Generation || deployment.Status.AvailableReplicas != *deployment.Spec.Replicas):
		if err := p.cluster.MarkDeploymentAvailable(ctx, harness.OperatorNamespace, name); err != nil {
			return err
		}
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

// neverStarts is in each value of a field with which new pods do not start: an image that nobody has, a flag that the program
// does not know, a node that there is none of.
const neverStarts = "never.example.com"

func starts(deployment *appsv1.Deployment) bool {
	return !strings.Contains(deployment.Spec.Template.String(), neverStarts)
}

func (p *pods) get(ctx context.Context, key client.ObjectKey, object client.Object) (bool, error) {
	err := p.seen.Get(ctx, key, object)
	return err == nil, client.IgnoreNotFound(err)
}

// serve starts a component with the pair in its Secret, or lets it present that from now on.
func (p *pods) serve(ctx context.Context, name string, r *running, secret *corev1.Secret) error {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		r.secret = secret.ResourceVersion
		return nil //nolint:nilerr // it goes on with the pair that it has, until there is another
	}
	if r.backend == nil {
		about := components[name]
		r.backend, err = p.cluster.ServeBackend(ctx, harness.OperatorNamespace, name, p.cluster.PodAddress(about.host), pair, about.apis...)
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
func (p *pods) withdraw(ctx context.Context, name string) error {
	slices, err := p.endpoints(ctx, name)
	for i := range slices {
		if err == nil {
			err = client.IgnoreNotFound(p.cluster.Client.Delete(ctx, &slices[i]))
		}
	}
	return err
}

func (p *pods) endpoints(ctx context.Context, name string) ([]discoveryv1.EndpointSlice, error) {
	slices := &discoveryv1.EndpointSliceList{}
	err := p.seen.List(ctx, slices, client.MatchingLabels{discoveryv1.LabelServiceName: name})
	return slices.Items, err
}
