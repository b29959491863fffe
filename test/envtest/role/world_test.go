// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	poll = 20 * time.Millisecond
	// patience is how long a step may take while nothing is refused.
	patience = 30 * time.Second
	// indulgence is what a step gets beyond twice the time that it takes with the whole role, once the operator was
	// refused something: a refusal alone is no failure.
	indulgence = time.Second
)

// world is an operator with the rights of its ServiceAccount, in one scenario.
type world struct {
	*harness.World
	wire *wire
	// pods run by themselves; nil for none.
	pods *harness.Pods
	// address is for what the operator serves, in the network namespace of the tests.
	address string

	// usual is how long each step took with the whole role, by its name; took is how long they take now.
	usual, took map[string]time.Duration
}

// begin starts the operator of a scenario on a control plane, and does not wait for it.
func begin(t *testing.T, c *harness.Cluster, s scenario, usual map[string]time.Duration) (*world, error) {
	t.Helper()
	w := &world{World: harness.NewWorld(t, c), wire: &wire{}, usual: usual, took: map[string]time.Duration{},
		address: fmt.Sprintf("127.0.0.1:%d", 18000+worlds.Add(1))}
	return w, w.Launch(logr.Discard(), harness.Conditions{Options: hurried, Wrap: w.wire.Wrap, Manager: func(o *ctrl.Options) {
		if s.adjust != nil {
			s.adjust(w, o)
		}
	}})
}

// hurried has an operator look at HPAs that fail within moments.
var hurried = controller.Options{Timing: controller.Timing{Patience: 50 * time.Millisecond, Counts: 100 * time.Millisecond}}

// worlds counts the worlds, several of which are there at a time.
var worlds atomic.Int32

// play has pods run by themselves.
func (w *world) play() (err error) {
	w.pods, err = w.StartPods(w.Ctx)
	return err
}

// lostError is an error that no waiting resolves.
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

// end stops the operator and leaves nothing of what it made.
func (w *world) end() error {
	var errs []error
	if err := w.Operator.Stop(); errors.Is(err, harness.ErrNotStopped) { // Any other error is the scenario's business.
		errs = append(errs, err)
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: leaseName}}
	errs = append(errs, w.DeletePipeline(), client.IgnoreNotFound(w.Client.Delete(w.Ctx, lease)))
	_, err := w.DeleteObjects(harness.Everything)
	if w.pods != nil {
		w.pods.Stop()
	}
	return errors.Join(append(errs, err)...)
}

// apply creates or replaces the pipeline's spec.
func (w *world) apply(spec ...string) error { return w.Apply(strings.Join(spec, "\n")) }

// pipeline returns the pipeline, with a status that is about its spec.
func (w *world) pipeline() (*v1alpha1.MetricsPipeline, error) {
	pipeline, err := w.Pipeline()
	if err == nil && pipeline.Status.ObservedGeneration != pipeline.Generation {
		err = errors.New("the status is about an earlier spec, or empty")
	}
	return pipeline, err
}

// managed returns the managed objects that which selects.
func (w *world) managed(which func(*unstructured.Unstructured) bool) ([]*unstructured.Unstructured, error) {
	objects, err := w.Objects()
	var found []*unstructured.Unstructured
	for _, object := range objects {
		if which(object) {
			found = append(found, object)
		}
	}
	return found, err
}

// gone returns an error while there are managed objects that which selects.
func (w *world) gone(which func(*unstructured.Unstructured) bool) error {
	found, err := w.managed(which)
	if err != nil || len(found) == 0 {
		return err
	}
	names := make([]string, len(found))
	for i, object := range found {
		names[i] = harness.Identity(object)
	}
	return fmt.Errorf("there are still %s", strings.Join(names, ", "))
}
