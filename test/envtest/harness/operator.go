// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/metricspipeline/operator/internal/controller"
)

// Operator is a running operator, with the rights of its ServiceAccount.
type Operator struct {
	// Requests are what it sends to the API server.
	Requests *Requests
	// Elected is closed once its caches are filled and it leads.
	Elected <-chan struct{}

	operator *controller.Operator

	name   string
	cancel context.CancelFunc
	ended  chan error
}

// started counts operators: the name of its controller distinguishes the metrics of each.
var started atomic.Int32

// Conditions are what an operator lives under. The zero value is an ordinary life.
type Conditions struct {
	// Options of the controller; its namespace and name are the harness's.
	controller.Options
	// Wrap stands between the operator and the network; nil for nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Manager changes the options of the manager; nil for nothing.
	Manager func(*ctrl.Options)
}

// ErrNotStopped is what Stop returns for an operator that does not stop.
var ErrNotStopped = errors.New("the operator did not stop within 30s")

// launchOperator starts an operator as cmd/manager does. It outlives ctx and ends with Stop.
func (c *Cluster) launchOperator(ctx context.Context, log logr.Logger, conditions Conditions) (*Operator, error) {
	o := &Operator{Requests: &Requests{}, name: fmt.Sprintf("metricspipeline-%d", started.Add(1)), ended: make(chan error, 1)}
	config, err := c.OperatorConfig()
	if err != nil {
		return nil, err
	}
	config.Wrap(o.Requests.Wrap)
	if conditions.Wrap != nil {
		config.Wrap(conditions.Wrap)
	}
	watches := controller.NewWatches()
	managerOptions := ctrl.Options{
		Scheme:                  Scheme,
		Cache:                   controller.CacheOptions(OperatorNamespace),
		NewCache:                watches.NewCache(conditions.NewCache),
		MapperProvider:          controller.Mapper,
		NewClient:               conditions.NewClient,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Logger:                  log,
		GracefulShutdownTimeout: ptr.To(10 * time.Second),
	}
	if conditions.Manager != nil {
		conditions.Manager(&managerOptions)
	}
	manager, err := ctrl.NewManager(config, managerOptions)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	options := conditions.Options
	options.Watches = watches
	options.Namespace, options.Name, options.Version = OperatorNamespace, o.name, cmp.Or(options.Version, "envtest")
	if o.operator, err = controller.Setup(manager, options); err != nil {
		return nil, fmt.Errorf("setting up the controller: %w", err)
	}
	ready := func(*http.Request) error { return o.operator.Ready() }
	if err := manager.AddReadyzCheck("readyz", ready); err != nil { // As cmd/manager does.
		return nil, fmt.Errorf("adding the probe: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel, o.Elected = cancel, manager.Elected()
	go func() { o.ended <- manager.Start(running) }()
	return o, nil
}

// Ready is what its readiness probe answers: nil, or why not.
func (o *Operator) Ready() error { return o.operator.Ready() }

// Alive is what its liveness probe answers: nil, or why not.
func (o *Operator) Alive() error { return o.operator.Alive() }

// Cancel ends the operator and does not wait for it.
func (o *Operator) Cancel() { o.cancel() }

// Stop ends the operator and returns the error that it ended with.
func (o *Operator) Stop() error {
	o.cancel()
	select {
	case err := <-o.ended:
		return err
	case <-time.After(30 * time.Second):
		return ErrNotStopped
	}
}
