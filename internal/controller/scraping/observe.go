// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// failures are the namespaces whose monitors could not be written.
type failures struct {
	announce func()

	mu     sync.Mutex
	errors map[string]error
}

// note keeps the outcome of a namespace and announces a new one.
func (f *failures) note(namespace string, err error) {
	f.mu.Lock()
	before, failed := f.errors[namespace]
	if err != nil {
		if f.errors == nil {
			f.errors = map[string]error{}
		}
		f.errors[namespace] = err
	} else {
		delete(f.errors, namespace)
	}
	f.mu.Unlock()
	if failed != (err != nil) || failed && before.Error() != err.Error() {
		f.announce()
	}
}

// first returns one failure, always the same of several; nil where there is none.
func (f *failures) first() (namespace string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(f.errors)) {
		return name, f.errors[name]
	}
	return "", nil
}

// news is what a reconcile last found out that Observe depends on and that wakes nobody else: the labels of each
// Namespace, and under the empty name what all of them have in common.
type news struct {
	mu   sync.Mutex
	last map[string]string
}

func (n *news) changed(name, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, known := n.last[name]; known && last == text {
		return false
	}
	if n.last == nil {
		n.last = map[string]string{}
	}
	n.last[name] = text
	return true
}

func (n *news) forget(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.last, name)
}

// tell has the status looked at when what is found out is new.
func (r *Reconciler) tell(name, text string) {
	if r.news.changed(name, text) {
		r.index.counted()
	}
}

// Observe returns what is to be said of the condition ScrapeReady, and counts the apps and monitors. The state is empty when
// the pipeline is gone or going.
func (r *Reconciler) Observe(ctx context.Context) (State, v1alpha1.ScrapeStatus, error) {
	s, err := r.settings(ctx)
	if err != nil || s == nil {
		return State{}, v1alpha1.ScrapeStatus{}, err
	}
	status := r.index.status(r.wantedBy(ctx, s))
	if served, err := r.optional.Ensure(ctx); err != nil {
		return State{}, status, err
	} else if served.Has(apply.ServiceMonitorCRD) && served.Has(apply.PodMonitorCRD) {
		for _, kind := range apply.Monitors {
			monitors := &metav1.PartialObjectMetadataList{}
			monitors.SetGroupVersionKind(kind.GroupVersionKind)
			if err := r.monitors.List(ctx, monitors); err != nil {
				return State{}, status, fmt.Errorf("list %ss: %w", kind.Kind, err)
			}
			status.Monitors += int32(len(monitors.Items))
		}
	}
	if s.hold {
		return s.state, status, nil
	}
	if namespace, err := r.failures.first(); err != nil {
		return State{Reason: v1alpha1.ReasonMonitorsFailed,
			Message: fmt.Sprintf("The monitors of namespace %s could not be written: %v.", namespace, err)}, status, nil
	}
	if s.state.Met && s.target.ServiceMonitors != nil && !s.off {
		excluded, err := r.excluded(ctx, s)
		if err != nil {
			return State{}, status, err
		}
		if excluded != "" {
			return State{Reason: v1alpha1.ReasonNotSelected, Message: excluded}, status, nil
		}
	}
	return s.state, status, nil
}

// wantedBy returns whether the apps of a namespace are scraped, which is remembered for as long as one count takes.
func (r *Reconciler) wantedBy(ctx context.Context, s *settings) func(string) bool {
	known := map[string]bool{}
	return func(name string) bool {
		wanted, asked := known[name]
		if !asked {
			ns := &metav1.PartialObjectMetadata{}
			ns.SetGroupVersionKind(namespaceKind)
			// One that cannot be read is about to go.
			wanted = r.client.Get(ctx, client.ObjectKey{Name: name}, ns) == nil && s.wants(ns.Labels)
			known[name] = wanted
		}
		return wanted
	}
}

// excluded says which namespaces with annotated apps the Prometheus does not look at; empty for none.
func (r *Reconciler) excluded(ctx context.Context, s *settings) (string, error) {
	for _, name := range r.index.names() {
		ns := &metav1.PartialObjectMetadata{}
		ns.SetGroupVersionKind(namespaceKind)
		if err := r.client.Get(ctx, client.ObjectKey{Name: name}, ns); err != nil {
			if client.IgnoreNotFound(err) == nil {
				continue
			}
			return "", fmt.Errorf("read Namespace %s: %w", name, err)
		}
		if !s.wants(ns.Labels) {
			continue
		}
		if excluded := r.excludes(s, ns); excluded != "" {
			return excluded, nil
		}
	}
	return "", nil
}

// excludes says by which selector the Prometheus does not look into a namespace for the kinds of monitors that it has;
// empty where it does.
func (r *Reconciler) excludes(s *settings, ns *metav1.PartialObjectMetadata) string {
	var selections []*prometheus.Selection
	services, pods := r.index.has(ns.Name)
	if services {
		selections = append(selections, s.target.ServiceMonitors)
	}
	if pods {
		selections = append(selections, s.target.PodMonitors)
	}
	for _, selection := range selections {
		selected, err := selection.SelectsNamespace(ns.Name, ns.Labels)
		if err != nil {
			return fmt.Sprintf("%s: %v.", s.target.Origin, err)
		}
		if !selected {
			wants := "unset, which selects its own namespace alone"
			if selection.Namespaces != nil {
				wants = fmt.Sprintf("%q", metav1.FormatLabelSelector(selection.Namespaces))
			}
			return fmt.Sprintf("%s does not look for monitors in namespace %s: its %s is %s; change the selector, or leave the "+
				"namespace out by spec.scrape.namespaceSelector.", s.target.Origin, ns.Name, selection.NamespaceField, wants)
		}
	}
	return ""
}
