// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Subscriber feeds the queue of one controller with the events of the kinds that it subscribes to. It is the controller's
// source: pass it to Watch once, after the last On.
type Subscriber struct {
	watches *Watches
	name    string
	wake    reconcile.Request

	// Guarded by the watches' lock.
	subscriptions []*subscription
	ctx           context.Context //nolint:containedctx // the controller's, as every source of controller-runtime keeps it
	queue         workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// subscription is a handler of a kind's events; to is the informer that it has been attached to.
type subscription struct {
	kind       key
	handler    handler.EventHandler
	predicates []predicate.Predicate
	to         cache.Informer
}

var _ source.SyncingSource = &Subscriber{}

// Subscriber returns a source for a controller. It requests wake when a kind can no longer be read, can be read again, or
// has been listed for the first time: what Ensure returns is then another.
func (w *Watches) Subscriber(name string, wake reconcile.Request) *Subscriber {
	s := &Subscriber{watches: w, name: name, wake: wake}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers = append(w.subscribers, s)
	return s
}

// On adds a kind to the watches, and has its events handled.
func (s *Subscriber) On(kind Kind, h handler.EventHandler, predicates ...predicate.Predicate) *Subscriber {
	s.watches.Add(kind)
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	s.subscriptions = append(s.subscriptions, &subscription{kind: kind.key(), handler: h, predicates: predicates})
	return s
}

// Start is called by the controller.
func (s *Subscriber) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	s.watches.mu.Lock()
	s.ctx, s.queue = ctx, queue
	if s.watches.ended == nil {
		s.watches.ended = ctx.Done()
	}
	s.watches.mu.Unlock()
	return nil
}

// WaitForSync is called by the controller before its first reconcile. It begins the watches and waits until each kind has been
// listed or refused, so that a restart takes nothing for missing. It gives up soon, and never fails: a kind that cannot be read
// is a matter for the status.
func (s *Subscriber) WaitForSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s.watches.mu.Lock()
		moved := s.watches.moved
		s.watches.mu.Unlock()
		if !s.watches.Ensure(ctx).Waiting() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil
		}
	}
}

// String names the source in the controller's log.
func (s *Subscriber) String() string { return fmt.Sprintf("cluster: kinds of %s", s.name) }

// attach has the events of a kind handled, if they are not yet.
func (s *Subscriber) attach(kind *watched) error {
	s.watches.mu.Lock()
	informer, ctx, queue := kind.informer, s.ctx, s.queue
	var missing []*subscription
	for _, subscription := range s.subscriptions {
		if subscription.kind == kind.key() && subscription.to != informer {
			missing = append(missing, subscription)
		}
	}
	s.watches.mu.Unlock()
	for _, subscription := range missing {
		events := source.Informer{Informer: informer, Handler: subscription.handler, Predicates: subscription.predicates}
		if err := events.Start(ctx, queue); err != nil {
			return fmt.Errorf("handle the events of %s: %w", kind.Kind.Kind, err)
		}
		s.watches.mu.Lock()
		subscription.to = informer
		s.watches.mu.Unlock()
	}
	return nil
}

// running returns the subscribers whose controllers have started.
func (w *Watches) running() []*Subscriber {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.subscribers), func(s *Subscriber) bool { return s.queue == nil })
}

// changed wakes every subscriber: a kind has been answered otherwise than before.
func (w *Watches) changed() {
	w.mu.Lock()
	close(w.moved)
	w.moved = make(chan struct{})
	w.mu.Unlock()
	for _, s := range w.running() {
		s.queue.Add(s.wake)
	}
}

// IsPending is true for an error that says of a kind that the API server has not answered yet. An event follows.
func IsPending(err error) bool {
	var unreadable *UnreadableError
	return errors.As(err, &unreadable) && unreadable.Pending
}

func isGone(err error) bool { return apierrors.IsNotFound(err) }
