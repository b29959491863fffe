// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	poll = 20 * time.Millisecond
	// patience is how long a step may take that nobody refused anything.
	patience = 30 * time.Second
	// indulgence is what a step gets beyond twice the time that it takes with the whole role, once the operator was
	// refused something: a refusal alone is no failure.
	indulgence = time.Second
)

// world is an operator with the rights of its ServiceAccount, as cmd/manager starts it, in one scenario.
type world struct {
	ctx  context.Context
	wire *wire

	// usual is how long each step took with the whole role, by its name; took is how long they take now.
	usual, took map[string]time.Duration

	ended    chan struct{}
	cancel   context.CancelFunc
	elected  <-chan struct{}
	backends []*harness.Backend
}

var started atomic.Int32

// begin starts an operator; adjust changes the manager's options.
func begin(ctx context.Context, usual map[string]time.Duration, adjust func(*ctrl.Options)) (*world, error) {
	w := &world{ctx: ctx, wire: &wire{}, usual: usual, took: map[string]time.Duration{}, ended: make(chan struct{})}
	config, err := cluster.OperatorConfig()
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // As ctrl.GetConfig does.
	config.Wrap(w.wire.Wrap)
	options := ctrl.Options{
		Scheme:                  harness.Scheme,
		Cache:                   controller.CacheOptions(harness.OperatorNamespace),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		GracefulShutdownTimeout: ptr.To(10 * time.Second),
	}
	if adjust != nil {
		adjust(&options)
	}
	manager, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	name := fmt.Sprintf("role-%d", started.Add(1))
	err = controller.Setup(manager, controller.Options{Namespace: harness.OperatorNamespace, Version: "role", Name: name})
	if err != nil {
		return nil, fmt.Errorf("setting up the controller: %w", err)
	}
	running, cancel := context.WithCancel(ctx)
	w.cancel, w.elected = cancel, manager.Elected()
	go func() {
		defer close(w.ended)
		_ = manager.Start(running) // What it ends with is the scenario's business.
	}()
	return w, nil
}

// lostError is an error that no waiting mends.
type lostError struct{ error }

// until waits for the outcome of a step, which is reached when try returns nil. It gives up early when the operator was
// refused something and has had its time since.
func (w *world) until(step string, try func() error) error {
	begun := time.Now()
	for {
		err := try()
		if err == nil {
			w.took[step] = time.Since(begun)
			return nil
		}
		if lost := (lostError{}); errors.As(err, &lost) {
			return fmt.Errorf("%s: %w", step, err)
		}
		since, limit := begun, patience
		if refused, at := w.wire.refusals(); len(refused) > 0 {
			limit = 2*w.usual[step] + indulgence
			if at.After(since) {
				since = at
			}
		}
		if time.Since(since) > limit {
			return fmt.Errorf("%s: not reached: %w", step, err)
		}
		time.Sleep(poll)
	}
}

// end stops the operator and leaves nothing of what it made. APIServices go first, so that no one leads nowhere.
func (w *world) end(ctx context.Context) error {
	w.cancel()
	var errs []error
	select {
	case <-w.ended:
	case <-time.After(patience):
		errs = append(errs, errors.New("the operator did not stop"))
	}
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: leaseName}}
	for _, object := range []client.Object{pipeline, lease} {
		errs = append(errs, client.IgnoreNotFound(cluster.Client.Delete(ctx, object)))
	}
	for _, kind := range slices.Concat(apply.Monitors, apply.Kinds) {
		managed, err := list(ctx, kind.GroupVersionKind)
		errs = append(errs, err)
		for i := range managed {
			errs = append(errs, client.IgnoreNotFound(cluster.Client.Delete(ctx, &managed[i])))
		}
	}
	for _, backend := range w.backends {
		errs = append(errs, backend.Stop(ctx))
	}
	return errors.Join(errs...)
}

// list returns the managed objects of a kind.
func list(ctx context.Context, kind schema.GroupVersionKind) ([]metav1.PartialObjectMetadata, error) {
	found := &metav1.PartialObjectMetadataList{}
	found.SetGroupVersionKind(kind)
	err := cluster.Client.List(ctx, found, client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName})
	for i := range found.Items {
		found.Items[i].SetGroupVersionKind(kind)
	}
	return found.Items, err
}

// left returns the managed objects of a component, of every kind that the operator deletes.
func left(ctx context.Context, component string) ([]string, error) {
	var names []string
	for _, kind := range slices.Concat(apply.Monitors, apply.Kinds) {
		managed, err := list(ctx, kind.GroupVersionKind)
		if err != nil {
			return nil, err
		}
		for i := range managed {
			if managed[i].Labels[v1alpha1.ComponentLabel] == component {
				names = append(names, apply.Identity(&managed[i]))
			}
		}
	}
	return names, nil
}

// apply creates or replaces the pipeline's spec.
func (w *world) apply(spec ...string) error {
	object := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "MetricsPipeline",
		"metadata": map[string]any{"name": v1alpha1.SingletonName},
	}
	var content map[string]any
	if err := yaml.Unmarshal([]byte(strings.Join(spec, "\n")), &content); err != nil {
		return err
	}
	object["spec"] = content
	configuration := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
	return cluster.Client.Apply(w.ctx, configuration, client.FieldOwner("user"))
}

// pipeline returns the pipeline, with a status that is about its spec.
func (w *world) pipeline() (*v1alpha1.MetricsPipeline, error) {
	pipeline := &v1alpha1.MetricsPipeline{}
	if err := cluster.Client.Get(w.ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline); err != nil {
		return nil, err
	}
	if pipeline.Status.ObservedGeneration != pipeline.Generation {
		return nil, errors.New("the status is about an earlier spec, or empty")
	}
	return pipeline, nil
}

// serve lets the pods of a component run, once the operator has made what they need.
func (w *world) serve(component, address string, apis ...schema.GroupVersion) error {
	return w.until("the backend of "+component+" can run", func() error {
		key := client.ObjectKey{Namespace: harness.OperatorNamespace, Name: component}
		if err := cluster.Client.Get(w.ctx, key, &corev1.Service{}); err != nil {
			return err
		}
		if err := cluster.MarkDeploymentAvailable(w.ctx, key.Namespace, key.Name); err != nil {
			return err
		}
		backend, err := cluster.StartBackend(w.ctx, key.Namespace, key.Name, address, apis...)
		if err != nil {
			return err
		}
		w.backends = append(w.backends, backend)
		return backend.Publish(w.ctx, true)
	})
}
